// Fastify in a cluster of two, BullMQ behind it: verifies Meta's signature over the raw body, adds one job an event.
import cluster from "node:cluster";
import { createHmac, timingSafeEqual } from "node:crypto";
import Fastify from "fastify";
import { Queue } from "bullmq";
import { connect } from "./connection.js";
import { events } from "./events.js";

const SECRET = process.env.INSTAGRAM_APP_SECRET;
const WORKERS = 2;

if (cluster.isPrimary) {
  for (let n = 0; n < WORKERS; n++) cluster.fork();
  // Stays until they are gone: their processor time is otherwise taken for that of other programs.
  const stop = () => {
    for (const worker of Object.values(cluster.workers)) worker.process.kill("SIGTERM");
    cluster.on("exit", () => Object.keys(cluster.workers).length || process.exit(0));
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
} else {
  const queue = new Queue("events", {
    connection: connect(),
    defaultJobOptions: { removeOnComplete: true, attempts: 3, backoff: { type: "exponential", delay: 2000 } },
  });
  const app = Fastify({ logger: false, keepAliveTimeout: 75_000, bodyLimit: 8_388_608 });
  // The signature is over the bytes as they came.
  app.addContentTypeParser("application/json", { parseAs: "buffer" }, (request, body, done) => done(null, body));
  app.post("/api/webhooks/instagram", async (request, reply) => {
    const body = request.body;
    const given = Buffer.from(request.headers["x-hub-signature-256"] ?? "");
    const expected = Buffer.from(`sha256=${createHmac("sha256", SECRET).update(body).digest("hex")}`);
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) {
      return reply.code(401).send({ error: "signature" });
    }
    const found = events(JSON.parse(body));
    // The same event has the same id: BullMQ adds it once.
    const jobs = found.map((data) => ({ name: data.kind, data, opts: { jobId: `${data.kind}-${data.source_id}` } }));
    if (jobs.length === 1) await queue.add(jobs[0].name, jobs[0].data, jobs[0].opts);
    else if (jobs.length) await queue.addBulk(jobs);
    return { accepted: jobs.length };
  });
  app.get("/healthz", async () => ({ ok: true }));
  await app.listen({ port: Number(process.env.PORT), host: "127.0.0.1", backlog: 1024 });
}
