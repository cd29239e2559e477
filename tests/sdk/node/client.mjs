// What OpenAI's client for Node does with a platform: `node client.mjs PART`, one part a run; it fails by an assertion.
// OPENAI_BASE_URL and OPENAI_API_KEY say where and who, OPENAI_FOLDER where the client is installed.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const { OpenAI, NotFoundError, toFile } = createRequire(join(process.env.OPENAI_FOLDER, "here.js"))("openai");
const client = new OpenAI({ maxRetries: 0 });

const CHAT = "demo-chat";
const SLOW = "echo"; // says its prompt again, a token in 20 ms
const EMBEDDER = "demo-embed";
const WORDS = Array.from({ length: 60 }, (_, n) => `w${n}`).join(" ");

async function all(pages) {
  const found = [];
  for await (const one of pages) found.push(one);
  return found;
}

async function until(look, done) {
  for (;;) {
    const found = await look();
    if (done(found)) return found;
    await sleep(100);
  }
}

async function uploaded(name, text, purpose) {
  return await client.files.create({ file: await toFile(Buffer.from(text), name), purpose });
}

function lines(endpoint, bodies) {
  const line = (body, n) => JSON.stringify({ custom_id: `line-${n}`, method: "POST", url: endpoint, body });
  return bodies.map(line).join("\n") + "\n";
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

  async responses() {
    const first = await client.responses.create({ model: CHAT, input: "Hello", max_output_tokens: 8, temperature: 0 });
    assert.ok(["completed", "incomplete"].includes(first.status));
    assert.ok(first.output_text.length > 0 && first.usage.output_tokens > 0);
    assert.deepEqual(await client.responses.retrieve(first.id), first);
    const next = await client.responses.create({
      model: CHAT,
      input: "And then?",
      previous_response_id: first.id,
      max_output_tokens: 8,
    });
    assert.equal(next.previous_response_id, first.id);
    const items = await all(client.responses.inputItems.list(next.id, { order: "asc" }));
    assert.deepEqual(
      items.map((item) => item.content[0].text),
      ["And then?"],
    );
    const count = await client.responses.inputTokens.count({ model: CHAT, input: "Hello" });
    assert.ok(count.input_tokens > 0);
    await client.responses.delete(first.id);
    await assert.rejects(client.responses.retrieve(first.id), NotFoundError);
  },

  async responsesStreamed() {
    const stream = client.responses.stream({ model: CHAT, input: "Hello", max_output_tokens: 12, temperature: 0 });
    const events = await all(stream);
    assert.deepEqual(
      events.map((event) => event.sequence_number),
      events.map((_, n) => n),
    );
    const said = events.filter((event) => event.type === "response.output_text.delta").map((event) => event.delta);
    const last = await stream.finalResponse();
    assert.equal(said.join(""), last.output_text);
    assert.equal(events[0].type, "response.created");
  },

  async responsesInBackground() {
    const begun = await client.responses.create({ model: SLOW, input: WORDS, background: true, stream: true });
    const seen = [];
    for await (const event of begun) {
      seen.push(event);
      if (seen.filter((one) => one.type === "response.output_text.delta").length === 5) break;
    }
    const id = seen[0].response.id;
    const after = seen.at(-1).sequence_number;
    const rest = await all(await client.responses.retrieve(id, { stream: true, starting_after: after }));
    const events = [...seen, ...rest];
    assert.deepEqual(
      events.map((event) => event.sequence_number),
      events.map((_, n) => n),
    );
    const said = events.filter((event) => event.type === "response.output_text.delta").map((event) => event.delta);
    const whole = await client.responses.retrieve(id);
    assert.deepEqual([whole.status, whole.output_text], ["completed", said.join("")]);
    const other = await client.responses.create({ model: SLOW, input: WORDS, background: true });
    assert.ok(["queued", "in_progress"].includes(other.status));
    assert.equal((await client.responses.cancel(other.id)).status, "cancelled");
  },

  async responsesWithTools() {
    const properties = { where: { type: "string", enum: ["up", "down"] } };
    const parameters = { type: "object", properties, required: ["where"], additionalProperties: false };
    const tools = [{ type: "function", name: "look", description: "To look.", parameters, strict: true }];
    const asked = { model: CHAT, input: "Look!", tools, tool_choice: "required", max_output_tokens: 100 };
    const made = await client.responses.create(asked);
    const [call] = made.output.filter((item) => item.type === "function_call");
    assert.ok(["up", "down"].includes(JSON.parse(call.arguments).where));
    const output = { type: "function_call_output", call_id: call.call_id, output: "a bird" };
    const next = await client.responses.create({
      model: CHAT,
      previous_response_id: made.id,
      input: [output],
      max_output_tokens: 8,
    });
    assert.ok(next.output_text.length > 0);
    const format = { type: "json_schema", name: "looked", schema: parameters, strict: true };
    const shaped = await client.responses.create({ model: CHAT, input: "Look!", text: { format } });
    assert.deepEqual(Object.keys(JSON.parse(shaped.output_text)), ["where"]);
  },

  async conversations() {
    const begun = await client.conversations.create({
      metadata: { of: "node" },
      items: [{ type: "message", role: "user", content: "My name is Anna." }],
    });
    const added = await client.conversations.items.create(begun.id, {
      items: [{ type: "message", role: "assistant", content: "Hello Anna." }],
    });
    const items = await all(client.conversations.items.list(begun.id, { order: "asc", limit: 1 }));
    assert.deepEqual(
      items.map((item) => item.content[0].text),
      ["My name is Anna.", "Hello Anna."],
    );
    assert.deepEqual(await client.conversations.items.retrieve(added.data[0].id, { conversation_id: begun.id }), items[1]);
    await client.conversations.items.delete(items[1].id, { conversation_id: begun.id });
    assert.equal((await client.conversations.update(begun.id, { metadata: { of: "us" } })).metadata.of, "us");
    const answered = await client.responses.create({
      model: CHAT,
      conversation: begun.id,
      input: "Who am I?",
      max_output_tokens: 8,
    });
    assert.equal(answered.conversation.id, begun.id);
    assert.equal((await all(client.conversations.items.list(begun.id))).length, 3);
    assert.equal((await client.conversations.delete(begun.id)).deleted, true);
    await assert.rejects(client.conversations.retrieve(begun.id), NotFoundError);
  },

  async batches() {
    const endpoint = "/v1/chat/completions";
    const asked = (content) => ({ model: SLOW, messages: [{ role: "user", content }] });
    const input = await uploaded("in.jsonl", lines(endpoint, [asked("one"), asked("two")]), "batch");
    const batch = await client.batches.create({ input_file_id: input.id, endpoint, completion_window: "24h" });
    const look = () => client.batches.retrieve(batch.id);
    const done = await until(look, (one) => ["completed", "failed", "expired", "cancelled"].includes(one.status));
    assert.equal(done.status, "completed");
    assert.deepEqual(done.request_counts, { total: 2, completed: 2, failed: 0 });
    assert.equal(done.error_file_id ?? null, null);
    const text = await (await client.files.content(done.output_file_id)).text();
    const answers = text.trim().split("\n").map(JSON.parse);
    assert.deepEqual(answers.map((answer) => answer.custom_id).sort(), ["line-0", "line-1"]);
    for (const { response } of answers) assert.equal(response.body.object, "chat.completion");
    const many = await uploaded("many.jsonl", lines(endpoint, Array(50).fill(asked(WORDS))), "batch");
    const other = await client.batches.create({ input_file_id: many.id, endpoint, completion_window: "24h" });
    const listed = (await client.batches.list({ limit: 2 })).data.map((one) => one.id);
    assert.deepEqual(listed, [other.id, batch.id]);
    assert.ok(["cancelling", "cancelled"].includes((await client.batches.cancel(other.id)).status));
    await until(() => client.batches.retrieve(other.id), (one) => one.status === "cancelled");
  },

  async vectorStores() {
    const store = await client.vectorStores.create({ name: "books" });
    const [first, second] = [
      await toFile(Buffer.from("The code of the harbour is nineteen."), "harbour.txt"),
      await toFile(Buffer.from("Anna bakes bread every morning."), "bread.txt"),
    ];
    const file = await client.vectorStores.files.uploadAndPoll(store.id, first);
    assert.equal(file.status, "completed");
    const batch = await client.vectorStores.fileBatches.uploadAndPoll(store.id, { files: [second] });
    assert.deepEqual([batch.status, batch.file_counts.completed], ["completed", 1]);
    await client.vectorStores.files.update(file.id, { vector_store_id: store.id, attributes: { about: "harbour" } });
    const found = await all(client.vectorStores.search(store.id, { query: "What is the code of the harbour?" }));
    assert.equal(found[0].file_id, file.id);
    const filters = { type: "ne", key: "about", value: "harbour" };
    const others = await all(client.vectorStores.search(store.id, { query: "harbour", filters }));
    assert.ok(others.every((one) => one.file_id !== file.id));
    assert.equal((await client.vectorStores.retrieve(store.id)).file_counts.completed, 2);
    await client.vectorStores.files.delete(file.id, { vector_store_id: store.id });
    assert.equal((await client.vectorStores.delete(store.id)).deleted, true);
    await assert.rejects(client.vectorStores.retrieve(store.id), NotFoundError);
  },

  async webhooks() {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const url = `http://127.0.0.1:${server.address().port}/`;
    const hook = await client.post("/webhooks", { body: { url, events: ["response.completed"] } });
    const coming = once(server, "request");
    const asked = await client.responses.create({ model: SLOW, input: "one two", background: true });
    const [request, response] = await coming;
    const payload = Buffer.concat(await all(request)).toString();
    const event = await client.webhooks.unwrap(payload, request.headers, hook.secret);
    assert.deepEqual([event.object, event.type, event.data.id], ["event", "response.completed", asked.id]);
    await assert.rejects(client.webhooks.unwrap(`${payload} `, request.headers, hook.secret));
    response.end();
    await client.delete(`/webhooks/${hook.id}`);
    server.close();
  },
};

await parts[process.argv[2]]();
