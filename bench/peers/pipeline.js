// One BullMQ worker, concurrency 200, that does the durable work of an event: look up and match in memory, a delivery
// row committed before the Graph call, its result and the event's row after it. Ends after COUNT jobs; 0: never.
import { Worker } from "bullmq";
import { Agent, request } from "undici";
import { connect } from "./connection.js";
import { call, decide } from "./rules.js";
import { write } from "./rows.js";

const count = Number(process.argv[2]);
const graph = new Agent({ connections: 256, keepAliveTimeout: 15_000, pipelining: 1 });
const base = `${process.env.GRAPH_API_URL}/v25.0`;

const send = async (path, body, token) => {
  const answer = await request(`${base}/${path}`, {
    dispatcher: graph,
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${token}` },
    body: JSON.stringify(body),
  });
  const said = await answer.body.json();
  if (answer.statusCode >= 300) throw new Error(`Graph API: ${answer.statusCode} ${JSON.stringify(said)}`);
  return said.message_id ?? said.id;
};

const answer = async (job) => {
  const event = job.data;
  const key = job.id;
  const { account, rule, looks } = decide(event);
  const about = { key, event, rule, looks, receivedAt: job.timestamp };
  if (!rule) return write("close", { ...about, outcome: "no_match" });
  let ended;
  for (const [index, each] of rule.steps.entries()) {
    const { path, body } = call(event, each);
    const step = index + 1;
    const recipient = each.kind === "dm" ? event.person : event.source_id;
    const delivery = { key, rule, step, kind: each.kind, recipient, body, ended };
    await write(ended ? "next" : "begin", delivery);
    ended = [await send(path, body, account.token), key, rule.id, step];
  }
  await write("end", { ...about, ended, outcome: "sent" });
};

let started;
let processor;
const worker = new Worker(
  "events",
  (job) => {
    if (started === undefined) {
      started = performance.now();
      processor = process.cpuUsage();
    }
    return answer(job);
  },
  { connection: connect(), concurrency: 200, removeOnComplete: { count: 0 } },
);
let done = 0;
worker.on("failed", (_, error) => {
  console.error(error);
  process.exit(1);
});
worker.on("completed", () => {
  if (++done !== count) return;
  const seconds = (performance.now() - started) / 1000;
  const used = process.cpuUsage(processor);
  console.log(JSON.stringify({ rate: count / seconds, processor: (used.user + used.system) / count }));
  process.exit(0);
});
process.on("SIGTERM", () => process.exit(0));
