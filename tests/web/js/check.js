/** Tests as sentences, run one at a time by the browser's driver. */

const tests = new Map();

export function test(sentence, body) {
  if (tests.has(sentence)) throw new Error(`told twice: ${sentence}`);
  tests.set(sentence, body);
}

export async function run(sentence) {
  await tests.get(sentence)();
}

export function same(actual, expected) {
  const [got, wanted] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (got !== wanted) throw new Error(`got ${got}, wanted ${wanted}`);
}

export function yes(condition) {
  if (!condition) throw new Error("that is not so");
}
