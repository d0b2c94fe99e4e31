// One BullMQ worker, concurrency 200: runs COUNT jobs that do nothing, or wait 50 ms, and says how long that took.
import { setTimeout as sleep } from "node:timers/promises";
import { Queue, Worker } from "bullmq";
import { connect } from "./connection.js";

const [job, count] = [process.argv[2], Number(process.argv[3])];

const queue = new Queue("bench", { connection: connect(), defaultJobOptions: { removeOnComplete: true } });
const payload = { kind: "message", account: "17841456778752687", person: "8422491661125971", text: "link please" };
for (let n = 0; n < count; n += 1000) {
  const size = Math.min(1000, count - n);
  await queue.addBulk(Array.from({ length: size }, (_, i) => ({ name: job, data: payload, opts: { jobId: `${job}-${n + i}` } })));
}

let started;
let processor;
const work = {
  noop: async () => {},
  wait: async () => {
    await sleep(50);
  },
  hold: async () => {
    await sleep(3_600_000);
  },
}[job];
const worker = new Worker(
  "bench",
  async (one) => {
    if (started === undefined) {
      started = performance.now();
      processor = process.cpuUsage();
    }
    return work(one);
  },
  { connection: connect(), concurrency: 200 },
);
let done = 0;
await new Promise((resolve, reject) => {
  worker.on("failed", (_, error) => reject(error));
  worker.on("completed", () => {
    if (++done === count) resolve();
  });
});
const seconds = (performance.now() - started) / 1000;
const used = process.cpuUsage(processor);
console.log(JSON.stringify({ rate: count / seconds, processor: (used.user + used.system) / count }));
process.exit(0);
