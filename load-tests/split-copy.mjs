// Splits PostgreSQL's binary COPY format from standard input into files of N rows each.
//   node load-tests/split-copy.mjs FOLDER N
import { mkdirSync, writeFileSync } from 'node:fs';

const [folder, size] = [process.argv[2], Number(process.argv[3])];
const chunks = [];
for await (const chunk of process.stdin) chunks.push(chunk);
const all = Buffer.concat(chunks);
const header = all.subarray(0, 19); // signature, flags, no extension
const trailer = Buffer.from([0xff, 0xff]);
mkdirSync(folder, { recursive: true });

let file = 0;
let rows = 0;
let from = 19;
let at = 19;
const flush = () => {
  if (rows === 0) return;
  const name = `${folder}/${String(++file).padStart(5, '0')}`;
  writeFileSync(name, Buffer.concat([header, all.subarray(from, at), trailer]));
  from = at;
  rows = 0;
};
for (let fields; (fields = all.readInt16BE(at)) !== -1; ) {
  at += 2;
  for (let field = 0; field < fields; field++) at += 4 + Math.max(0, all.readInt32BE(at));
  if (++rows === size) flush();
}
flush();
