// Answers later: everything is handed in at once, and webhooks bring the answers.
//
//   export CLORO_API_KEY=sk_live_… CLORO_BASE_URL=http://127.0.0.1:8787
//   export CLORO_WEBHOOK_SECRET=whsec_…                  # printed when the account was made
//   export CLORO_WEBHOOK_URL=https://hooks.example.com/  # how the server reaches the receiver below
//   npx tsx webhooks.ts prompts.txt answers.jsonl        (with Node 22.18 or newer: node webhooks.ts …)
//
// Reads one prompt a line and writes one JSON line for each, as the answers come. Run it again to go on: what was
// handed in is not handed in twice, and what has a result is not asked again. Node 20 or newer, no dependencies.

import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { appendFileSync, closeSync, existsSync, fsyncSync, openSync, readFileSync } from "node:fs";
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type Server } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

const BASE_URL = process.env.CLORO_BASE_URL ?? "http://127.0.0.1:8787";
const HEADERS = { Authorization: `Bearer ${process.env.CLORO_API_KEY}`, "Content-Type": "application/json" };
const SECRET = process.env.CLORO_WEBHOOK_SECRET ?? "";
const WEBHOOK_URL = process.env.CLORO_WEBHOOK_URL ?? "";
const [HOST, PORT] = [process.env.LISTEN ?? "127.0.0.1", Number(process.env.PORT ?? 9000)];
// Another name asks the same prompts anew; a key is bound until 24 h after the end of its task.
const RUN = process.env.RUN ?? "";
const [TASK_TYPE, COUNTRY] = ["CHATGPT", "US"];
const BATCH_MAX = 500;
const BODY_MAX = 50 << 20;
const TOLERANCE_S = 300; // Between signing and receiving.
const SWEEP_MS = 1000 * Number(process.env.SWEEP_S ?? 60); // Between looks for what no webhook told of …
const SWEEP_MAX = 500; // … and how many tasks are looked at,
const LOOKS_MAX = 8; // so many at once.
const WAIT_MAX_MS = 60_000;
const DONE = -1;

type Problem = { code: string; message: string };
type Job = { line: number; prompt: string };
type Told = { task: { id: string; status: string; idempotencyKey: string | null }; response?: unknown };
type Created = { error?: Problem };
type Reply = { status: number; retryAfter: number; text: string };

/** Throws unless these bytes were signed with our secret, and lately. */
function verify(headers: IncomingHttpHeaders, body: Buffer): void {
  const [name, stamp, signatures] = ["webhook-id", "webhook-timestamp", "webhook-signature"].map((each) =>
    String(headers[each] ?? ""),
  ) as [string, string, string];
  if (!/^\d+$/.test(stamp) || Math.abs(Date.now() / 1000 - Number(stamp)) > TOLERANCE_S) {
    throw new Error("signed too long ago");
  }
  const key = Buffer.from(SECRET.replace(/^whsec_/, ""), "base64");
  const ours = createHmac("sha256", key).update(`${name}.${stamp}.`).update(body).digest();
  // Several while a secret is being rotated.
  const theirs = signatures.split(" ").map((each) => Buffer.from(each.replace(/^v1,/, ""), "base64"));
  if (!theirs.some((each) => each.length === ours.length && timingSafeEqual(each, ours))) {
    throw new Error("wrong signature");
  }
}

/** The prompts that wait for their answer, by idempotency key, and the file that answers go to. */
class Run {
  answersFile: string;
  pending = new Map<string, Job>();
  seen = new Set<string>();
  finish: () => void = () => {};
  empty = new Promise<void>((resolve) => (this.finish = resolve));

  constructor(promptsFile: string, answersFile: string) {
    const tries = read(answersFile);
    this.answersFile = answersFile;
    readFileSync(promptsFile, "utf8")
      .split(/\r?\n/)
      .forEach((prompt, index) => {
        const job = { line: index + 1, prompt };
        const failures = tries.get(JSON.stringify([job.line, prompt])) ?? 0;
        if (prompt.trim() === "" || failures === DONE) return;
        // A failed task keeps its key, so that the next try needs another one.
        const name = [RUN, job.line, prompt, failures].join("\0");
        this.pending.set(createHash("sha256").update(name).digest("hex").slice(0, 32), job);
      });
  }

  /** Runs to the end; the reason if some prompts could not be handed in. */
  async all(): Promise<string | undefined> {
    const server = await receive((told) => this.take(told));
    const stopped = await this.submit();
    while (this.pending.size > 0) {
      await Promise.race([this.empty, sleep(SWEEP_MS, undefined, { ref: false })]);
      // No webhook is certain to arrive, so ask too: oldest first, and on while that finds any.
      while ((await this.look([...this.pending.keys()].slice(0, SWEEP_MAX))) > 0);
    }
    server.close();
    server.closeAllConnections();
    return stopped;
  }

  /** Hands everything in. Safe to repeat: a key that is bound to a task makes no second one. */
  async submit(): Promise<string | undefined> {
    const [jobs, known] = [[...this.pending], [] as string[]];
    for (let first = 0; first < jobs.length; first += BATCH_MAX) {
      const batch = jobs.slice(first, first + BATCH_MAX);
      const results = await this.create(batch);
      for (const [index, [key]] of batch.entries()) {
        const error = results[index]?.error;
        if (error?.code === "RESOURCE_ALREADY_EXISTS") known.push(key);
        else if (error?.code === "INSUFFICIENT_CREDITS") {
          for (const [key] of jobs.slice(first + index)) this.end(key);
          return "the credits do not cover the rest";
        } else if (error) this.end(key, { error });
      }
    }
    await this.look(known);
    return undefined;
  }

  async create(batch: [string, Job][]): Promise<Created[]> {
    const body = JSON.stringify(
      batch.map(([key, { prompt }]) => ({
        taskType: TASK_TYPE,
        payload: { prompt, country: COUNTRY },
        idempotencyKey: key,
        webhook: { url: WEBHOOK_URL },
      })),
    );
    for (let tries = 1; ; tries += 1) {
      const reply = await call("POST", "/v1/async/task/batch", body);
      if (reply.status === 200) return JSON.parse(reply.text).results;
      if (!mayPass(reply)) throw new Error(reply.text);
      console.error(`not handed in yet: ${reply.text}`); // The queue may be full until some tasks have run.
      await sleep(reply.retryAfter * 1000 + Math.random() * Math.min(WAIT_MAX_MS, 1000 * 2 ** tries));
    }
  }

  /** Asks for these tasks; how many have ended. */
  async look(keys: string[]): Promise<number> {
    const [queue, before] = [[...keys], this.pending.size];
    const worker = async () => {
      for (let key = queue.shift(); key !== undefined; key = queue.shift()) await this.lookAt(key);
    };
    await Promise.all(Array.from({ length: LOOKS_MAX }, worker));
    return before - this.pending.size;
  }

  async lookAt(key: string): Promise<void> {
    const reply = await call("GET", `/v1/async/task/${key}`);
    const job = this.pending.get(key);
    if (reply.status === 200) {
      const told = JSON.parse(reply.text) as Told;
      if (told.response !== undefined) this.take(told);
      else if (job && this.pending.delete(key)) this.pending.set(key, job); // Others first, the next time.
    } else if (reply.status === 404) {
      console.error(`a task is gone, run again to hand it in: ${key}`);
      this.end(key);
    } else if (!mayPass(reply)) throw new Error(reply.text);
  }

  /** A final task, as a webhook brings it and as reading it does. It may come twice, and be another run's. */
  take({ task, response }: Told): void {
    if (this.seen.has(task.id)) return;
    const answer = task.status === "COMPLETED" ? { result: response } : (response as { error: Problem });
    this.end(task.idempotencyKey ?? "", { task: task.id, ...answer });
    this.seen.add(task.id);
  }

  /** Takes a prompt from those that wait. Its answer is on disk when this returns. */
  end(key: string, answer?: object): void {
    const job = this.pending.get(key);
    if (job && answer) {
      const file = openSync(this.answersFile, "a");
      appendFileSync(file, JSON.stringify({ ...job, ...answer }) + "\n");
      fsyncSync(file);
      closeSync(file);
    }
    this.pending.delete(key);
    if (this.pending.size === 0) this.finish();
  }
}

/** Answers 2xx once a result is on disk: only then is the delivery done. */
async function receive(take: (told: Told) => void): Promise<Server> {
  const server = createServer((request, response) => {
    bodyOf(request)
      .then((body) => {
        if (!body) return response.writeHead(413, { Connection: "close" }).end();
        try {
          verify(request.headers, body); // Before anything looks into it.
        } catch {
          return response.writeHead(401).end();
        }
        take(JSON.parse(body.toString()) as Told);
        return response.writeHead(200).end();
      })
      .catch((error: unknown) => {
        console.error(error);
        response.destroy();
      });
  });
  await new Promise<void>((ready) => server.listen(PORT, HOST, ready));
  return server;
}

async function bodyOf(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > BODY_MAX) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

async function call(method: string, path: string, body?: string): Promise<Reply> {
  try {
    const signal = AbortSignal.timeout(60_000);
    const response = await fetch(BASE_URL + path, { method, headers: HEADERS, signal, ...(body ? { body } : {}) });
    const retryAfter = Number(response.headers.get("Retry-After") ?? 0);
    return { status: response.status, retryAfter, text: await response.text() };
  } catch (error) {
    return { status: 0, retryAfter: 0, text: String(error) };
  }
}

function mayPass({ status }: Reply): boolean {
  return status === 0 || status === 429 || status >= 500;
}

/** How often each line failed, or that it has its result; a line that a crash left half-written is ended. */
function read(path: string): Map<string, number> {
  const tries = new Map<string, number>();
  const text = existsSync(path) ? readFileSync(path, "utf8") : "";
  if (text !== "" && !text.endsWith("\n")) appendFileSync(path, "\n");
  for (const row of text.split("\n")) {
    try {
      const { line, prompt, result } = JSON.parse(row);
      const job = JSON.stringify([line, prompt]);
      tries.set(job, result === undefined ? (tries.get(job) ?? 0) + 1 : DONE);
    } catch {
      continue;
    }
  }
  return tries;
}

async function main(promptsFile = "prompts.txt", answersFile = "answers.jsonl"): Promise<void> {
  const stopped = await new Run(promptsFile, answersFile).all();
  if (stopped) {
    console.error(`stopped: ${stopped}`);
    process.exitCode = 1;
  }
}

void main(...process.argv.slice(2));
