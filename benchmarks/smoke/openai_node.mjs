// OpenAI's client for Node: run beside its package, with OPENAI_BASE_URL and OPENAI_API_KEY set.
import assert from "node:assert";
import OpenAI from "openai";

const CHAT = "demo-chat";
const EMBEDDER = "demo-embed";
const messages = [{ role: "user", content: "Tell me a story about Anna." }];
const drawn = { model: CHAT, messages, max_tokens: 12, temperature: 0 };
const client = new OpenAI();

async function check(name, act) {
  try {
    await act();
    console.log(JSON.stringify({ check: name, ok: true }));
  } catch (error) {
    console.log(JSON.stringify({ check: name, ok: false, error: String(error).slice(0, 300) }));
  }
}

await check("chat", async () => {
  assert((await client.chat.completions.create(drawn)).choices[0].message.content);
});
await check("stream", async () => {
  let said = "";
  let usage;
  const stream = await client.chat.completions.create({ ...drawn, stream: true, stream_options: { include_usage: true } });
  for await (const chunk of stream) {
    said += chunk.choices[0]?.delta?.content ?? "";
    usage = chunk.usage ?? usage;
  }
  assert.equal(said, (await client.chat.completions.create(drawn)).choices[0].message.content);
  assert.equal(usage.completion_tokens, 12);
});
await check("tools", async () => {
  const parameters = { type: "object", properties: { where: { enum: ["up", "down"] } }, required: ["where"] };
  const tools = [{ type: "function", function: { name: "look", parameters } }];
  const made = await client.chat.completions.create({ ...drawn, max_tokens: 100, tools, tool_choice: "required" });
  for (const call of made.choices[0].message.tool_calls) {
    assert(["up", "down"].includes(JSON.parse(call.function.arguments).where));
  }
});
await check("embeddings", async () => {
  const input = ["one", "two"];
  const usual = await client.embeddings.create({ model: EMBEDDER, input });
  const floats = await client.embeddings.create({ model: EMBEDDER, input, encoding_format: "float" });
  usual.data.forEach((row, place) =>
    row.embedding.forEach((value, at) => assert(Math.abs(value - floats.data[place].embedding[at]) < 1e-5)),
  );
});
await check("models", async () => {
  const ids = [];
  for await (const model of client.models.list()) ids.push(model.id);
  assert(ids.includes(CHAT));
});
await check("errors", async () => {
  await assert.rejects(
    client.chat.completions.create({ model: "none", messages }),
    (error) => error instanceof OpenAI.NotFoundError && error.code === "model_not_found",
  );
});
