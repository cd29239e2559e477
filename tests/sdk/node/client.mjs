// What OpenAI's client for Node does with a platform: `node client.mjs PART`, one part a run; it fails by an assertion.
// OPENAI_BASE_URL and OPENAI_API_KEY say where and who, OPENAI_FOLDER where the client is installed.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { join } from "node:path";

const { OpenAI, NotFoundError, toFile } = createRequire(join(process.env.OPENAI_FOLDER, "here.js"))("openai");
const client = new OpenAI({ maxRetries: 0 });

async function all(pages) {
  const found = [];
  for await (const one of pages) found.push(one);
  return found;
}

const parts = {
  async files() {
    const text = '{"custom_id": "1"}\n';
    const file = await client.files.create({
      file: await toFile(Buffer.from(text), "batch.jsonl"),
      purpose: "batch",
      expires_after: { anchor: "created_at", seconds: 7200 },
    });
    assert.deepEqual([file.filename, file.bytes, file.purpose, file.status], ["batch.jsonl", 19, "batch", "processed"]);
    assert.equal(file.expires_at, file.created_at + 7200);
    assert.deepEqual(await client.files.retrieve(file.id), file);
    const other = await client.files.create({ file: await toFile(Buffer.from("b"), "b"), purpose: "user_data" });
    const listed = (await all(client.files.list({ limit: 1 }))).map((one) => one.id);
    assert.deepEqual(listed.slice(0, 2), [other.id, file.id]);
    assert.equal(await (await client.files.content(file.id)).text(), text);
    assert.equal((await client.files.delete(file.id)).deleted, true);
    await assert.rejects(client.files.content(file.id), NotFoundError);
    await client.files.delete(other.id);
  },

  async uploads() {
    const [first, second] = [Buffer.alloc(70_000, "a"), Buffer.alloc(5, "b")];
    const begun = await client.uploads.create({
      bytes: 70_005,
      filename: "large.jsonl",
      mime_type: "application/jsonl",
      purpose: "batch",
    });
    const ids = [];
    for (const part of [first, second])
      ids.push((await client.uploads.parts.create(begun.id, { data: await toFile(part, "part") })).id);
    const done = await client.uploads.complete(begun.id, { part_ids: ids });
    assert.equal(done.status, "completed");
    const content = await (await client.files.content(done.file.id)).text();
    assert.equal(content, "a".repeat(70_000) + "bbbbb");
    await client.files.delete(done.file.id);
    const other = await client.uploads.create({ bytes: 1, filename: "x", mime_type: "text/plain", purpose: "vision" });
    assert.equal((await client.uploads.cancel(other.id)).status, "cancelled");
  },
};

await parts[process.argv[2]]();
