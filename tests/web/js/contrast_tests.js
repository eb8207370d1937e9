import { run, test } from "./check.js";

export { run };

/** WCAG 2.2, level AA, for text of any size. */
const LEAST_CONTRAST = 4.5;

const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });

/** Any CSS colour as red, green, blue and opacity. */
function channels(colour) {
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = colour;
  canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data];
}

function luminance(colour) {
  const linear = channels(colour)
    .slice(0, 3)
    .map((value) => value / 255)
    .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
}

function behind(element) {
  for (let at = element; at; at = at.parentElement) {
    const { backgroundColor } = getComputedStyle(at);
    if (channels(backgroundColor)[3] === 255) return backgroundColor;
  }
  throw new Error("nothing is behind it");
}

function contrast(element) {
  const [one, other] = [getComputedStyle(element).color, behind(element)].map(luminance);
  return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
}

test("every text stands out from what is behind it", async () => {
  const shown = [...document.querySelectorAll("body *")].filter((each) => each.checkVisibility());
  const withText = shown.filter((each) => [...each.childNodes].some((node) => node.nodeType === 3 && node.data.trim()));
  if (withText.length < 40) throw new Error(`only ${withText.length} texts are shown`);
  const faint = withText.filter((each) => contrast(each) < LEAST_CONTRAST);
  const told = faint.map((each) => `${each.className || each.tagName} ${contrast(each).toFixed(2)}`);
  if (told.length) throw new Error([...new Set(told)].join(", "));
});
