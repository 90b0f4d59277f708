// Durable queues of the field on the same PostgreSQL: tasks added singly and in batches, and drained, in the process
// that measures (no HTTP). Prints one JSON object: rows a second.
//
//     node peers.mjs postgres://… SECONDS
import { Logger, makeWorkerUtils, run } from 'graphile-worker';
import pg from 'pg';
import PgBoss from 'pg-boss';

const [url, seconds] = [process.argv[2], Number(process.argv[3])];
const CALLERS = 64;
const POOL = 32;
const BATCH = 500;
const BATCH_CALLERS = 8;
const DRAINED = 40_000;
// As large as a task of bromo's own measurement.
const payload = (number) => ({ prompt: `Which teas are there, and how long does each of them steep? (${number})`, country: 'US' });

const logger = new Logger(() => () => {}); // A line a task would be measured along.
let number = 0;
/** How often `add` was done in a second by so many callers, each with its next when it has its answer. */
async function rate(callers, add) {
  const end = performance.now() + seconds * 1000;
  let done = 0;
  const caller = async () => {
    while (performance.now() < end) {
      await add(number++);
      done++;
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  return done / seconds;
}

async function graphile() {
  const pool = new pg.Pool({ connectionString: url, max: POOL });
  pool.on('error', () => {});
  const worker = await makeWorkerUtils({ pgPool: pool, logger });
  await worker.migrate();
  const single = await rate(CALLERS, (n) => worker.addJob('task', payload(n)));
  const batch = BATCH * (await rate(BATCH_CALLERS, (n) =>
    worker.addJobs(Array.from({ length: BATCH }, (_, i) => ({ identifier: 'task', payload: payload(n * BATCH + i) })))));
  await pool.query('DELETE FROM graphile_worker._private_jobs');
  for (let added = 0; added < DRAINED; added += BATCH)
    await worker.addJobs(Array.from({ length: BATCH }, (_, i) => ({ identifier: 'task', payload: payload(added + i) })));
  let done = 0, ended;
  const all = new Promise((resolve) => (ended = resolve));
  const begun = performance.now();
  // Its documentation's fast preset: many at once, fetched ahead, completed in batches. It keeps no result.
  const runner = await run({
    pgPool: pool,
    logger,
    noHandleSignals: true,
    preset: { worker: { concurrentJobs: 24, localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 } },
    taskList: { task: async () => { if (++done === DRAINED) ended(); } },
  });
  await all;
  const drain = DRAINED / ((performance.now() - begun) / 1000);
  await runner.stop();
  await worker.release();
  await pool.end();
  return { single, batch, drain };
}

async function boss() {
  const boss = new PgBoss({ connectionString: url, max: POOL });
  await boss.start();
  await boss.createQueue('task');
  const single = await rate(CALLERS, (n) => boss.send('task', payload(n)));
  const batch = BATCH * (await rate(BATCH_CALLERS, (n) =>
    boss.insert(Array.from({ length: BATCH }, (_, i) => ({ name: 'task', data: payload(n * BATCH + i) })))));
  await boss.purgeQueue('task');
  for (let added = 0; added < DRAINED; added += BATCH)
    await boss.insert(Array.from({ length: BATCH }, (_, i) => ({ name: 'task', data: payload(added + i) })));
  const begun = performance.now();
  let done = 0;
  // Its own loop of fetch and complete, twice; work() waits for its poll.
  const loop = async () => {
    for (;;) {
      const jobs = await boss.fetch('task', { batchSize: BATCH });
      if (!jobs?.length) return;
      await boss.complete('task', jobs.map((job) => job.id));
      done += jobs.length;
    }
  };
  await Promise.all([loop(), loop()]);
  const drain = done / ((performance.now() - begun) / 1000);
  await boss.stop({ graceful: false });
  return { single, batch, drain };
}

const result = { 'graphile-worker': await graphile(), 'pg-boss': await boss() };
console.log(JSON.stringify(result));
process.exit(0);
