-- What the version of migration 0009 left in PostgreSQL when its processes were killed: the rows as it wrote them, but
-- for ids that can be told apart, and times, which say how long ago.
--
--   …01 succeeded    …04 due in a month   …07 drawing at random, half told     …09 sent to its model's worker
--   …02 cancelled    …05 due by now       …08 a question with its passages,    …10 waiting for room in the window
--   …03 ingesting    …06 half told            handed on to the second model

INSERT INTO tenants (id, name, created_at) VALUES ('01900000-0000-7000-8000-0000000000a0', 'default', now() - interval '1 day');

-- Its secret is 'a-key-that-the-version-before-has-given-out', under the pepper of tests.
INSERT INTO keys (id, tenant_id, name, secret_hash, created_at) VALUES
('versionold', '01900000-0000-7000-8000-0000000000a0', 'forebay up',
 '\x79b24135fe5b8c3dd80097b1c4fc183b3231e43e1d1dbf5d5f8cb768ad17fe9a', now() - interval '1 day');

-- They have been silent for longer than any lease.
INSERT INTO workers (id, model, slots, free, job_s, beat_at) VALUES
('alpha@old:1.aaaaaa', 'alpha', 2, 0, 4.6, now() - interval '1 hour'),
('embedder@old:2.bbbbbb', 'embedder', 2, 1, 2.7, now() - interval '1 hour'),
('control@old:3.cccccc', 'control', 8, 8, NULL, now() - interval '1 hour');

INSERT INTO jobs (id, tenant_id, type, stage, model, shown_model, status, lane, priority, attempt, seed, worker_id,
                  progress_done, progress_total, prompt_tokens, completion_tokens, embedding_tokens, metadata,
                  created_at, dispatched_at, started_at, finished_at, run_at, due_at) VALUES
('01900000-0000-7000-8000-000000000001', '01900000-0000-7000-8000-0000000000a0', 'generate', 'generate',
 'alpha', 'alpha', 'succeeded', 'interactive', 5, 1, 2010366492, 'alpha@old:1.aaaaaa', 3, 3, 3, 3, NULL, '{"order": "7"}',
 now() - interval '26 s', now() - interval '26 s', now() - interval '25 s', now() - interval '21 s', NULL, NULL),
('01900000-0000-7000-8000-000000000002', '01900000-0000-7000-8000-0000000000a0', 'generate', 'generate',
 'alpha', 'alpha', 'cancelled', 'interactive', 5, 1, 749820631, NULL, NULL, NULL, 0, 0, NULL, '{}',
 now() - interval '21 s', NULL, NULL, now() - interval '20 s', now() + interval '29 days', now() + interval '29 days'),
('01900000-0000-7000-8000-000000000003', '01900000-0000-7000-8000-0000000000a0', 'ingest', 'embed_documents',
 'embedder', 'embedder', 'running', 'interactive', 5, 1, 1973724774, 'embedder@old:2.bbbbbb', 24, 873, 5, NULL, NULL, '{}',
 now() - interval '20 s', now() - interval '20 s', now() - interval '20 s', NULL, NULL, NULL),
('01900000-0000-7000-8000-000000000004', '01900000-0000-7000-8000-0000000000a0', 'generate', 'generate',
 'alpha', 'alpha', 'scheduled', 'interactive', 5, 0, 548260061, NULL, NULL, NULL, NULL, NULL, NULL, '{}',
 now() - interval '18 s', NULL, NULL, NULL, now() + interval '29 days', now() + interval '29 days'),
('01900000-0000-7000-8000-000000000005', '01900000-0000-7000-8000-0000000000a0', 'generate', 'generate',
 'alpha', 'alpha', 'scheduled', 'interactive', 5, 0, 2035183965, NULL, NULL, NULL, NULL, NULL, NULL, '{}',
 now() - interval '18 s', NULL, NULL, NULL, now() - interval '1 s', now() - interval '1 s'),
('01900000-0000-7000-8000-000000000006', '01900000-0000-7000-8000-0000000000a0', 'generate', 'generate',
 'alpha', 'alpha', 'running', 'interactive', 5, 1, 2144120979, 'alpha@old:1.aaaaaa', 10, 10, NULL, NULL, NULL, '{}',
 now() - interval '17 s', now() - interval '17 s', now() - interval '17 s', NULL, NULL, NULL),
('01900000-0000-7000-8000-000000000007', '01900000-0000-7000-8000-0000000000a0', 'chat', 'generate',
 'alpha', 'alpha', 'running', 'interactive', 5, 1, 7, 'alpha@old:1.aaaaaa', 10, 10, NULL, NULL, NULL, '{}',
 now() - interval '17 s', now() - interval '17 s', now() - interval '17 s', NULL, NULL, NULL),
('01900000-0000-7000-8000-000000000008', '01900000-0000-7000-8000-0000000000a0', 'rag', 'generate',
 'alpha', 'alpha', 'dispatched', 'interactive', 5, 1, 978413052, NULL, NULL, NULL, NULL, NULL, 6, '{}',
 now() - interval '17 s', now() - interval '14 s', now() - interval '17 s', NULL, NULL, NULL),
('01900000-0000-7000-8000-000000000009', '01900000-0000-7000-8000-0000000000a0', 'generate', 'generate',
 'alpha', 'alpha', 'dispatched', 'interactive', 5, 0, 879297679, NULL, NULL, NULL, NULL, NULL, NULL, '{}',
 now() - interval '17 s', now() - interval '17 s', NULL, NULL, NULL, NULL),
('01900000-0000-7000-8000-000000000010', '01900000-0000-7000-8000-0000000000a0', 'generate', 'generate',
 'alpha', 'alpha', 'queued', 'batch', 7, 0, 323957956, NULL, NULL, NULL, NULL, NULL, NULL, '{}',
 now() - interval '17 s', NULL, NULL, NULL, NULL, NULL);

INSERT INTO job_inputs (job_id, input, params, handed) VALUES
('01900000-0000-7000-8000-000000000001', '{"prompt": "all is well"}', '{"temperature": 0.0}', NULL),
('01900000-0000-7000-8000-000000000002', '{"prompt": "never mind"}', '{"temperature": 0.0}', NULL),
('01900000-0000-7000-8000-000000000003', '{"collection": "facts", "documents":
  ["doc_019000000000700080000000000000d1", "doc_019000000000700080000000000000d2"]}', '{}', NULL),
('01900000-0000-7000-8000-000000000004', '{"prompt": "see you later"}', '{"temperature": 0.0}', NULL),
('01900000-0000-7000-8000-000000000005', '{"prompt": "now is the time"}', '{"temperature": 0.0}', NULL),
('01900000-0000-7000-8000-000000000006', '{"prompt": "one two three four five six seven eight nine ten"}',
 '{"temperature": 0.0}', NULL),
('01900000-0000-7000-8000-000000000007', '{"messages": [{"role": "user", "content":
  "one two three four five six seven eight nine ten"}]}', '{"temperature": 1.0, "seed": 7}', NULL),
('01900000-0000-7000-8000-000000000008', '{"question": "How much does the boat cost?", "collection": "facts"}',
 '{"temperature": 0.0}', '{"passages": [{"document_id": "doc_019000000000700080000000000000d1", "chunk": 0,
  "score": 0.308607, "text": "The boat costs 42 coins.", "title": "Boats", "metadata": {}}]}'),
('01900000-0000-7000-8000-000000000009', '{"prompt": "I was sent for"}', '{"temperature": 0.0}', NULL),
('01900000-0000-7000-8000-000000000010', '{"prompt": "we wait in line"}', '{"temperature": 0.0}', NULL);

-- A checkpoint is as old as a heartbeat: of the half told answer Redis has a word more.
INSERT INTO job_outputs (job_id, entries, token_ids, result) VALUES
('01900000-0000-7000-8000-000000000001', '[["started", {"attempt": 1, "worker": "alpha@old:1.aaaaaa"}, 3],
  ["delta", {"text": "all "}, 1], ["delta", {"text": "is "}, 1], ["delta", {"text": "well"}, 1]]',
 '{0,1,2}', '{"text": "all is well", "finish_reason": "stop"}'),
('01900000-0000-7000-8000-000000000002', '[]', '{}', NULL),
('01900000-0000-7000-8000-000000000003', '[["started", {"attempt": 1, "worker": "embedder@old:2.bbbbbb"}, 0],
  ["progress", {"done": 24, "total": 873}, 0]]', '{}', NULL),
('01900000-0000-7000-8000-000000000006', '[["started", {"attempt": 1, "worker": "alpha@old:1.aaaaaa"}, 10],
  ["delta", {"text": "one "}, 1], ["delta", {"text": "two "}, 1], ["delta", {"text": "three "}, 1],
  ["delta", {"text": "four "}, 1]]', '{0,1,2,3}', NULL),
('01900000-0000-7000-8000-000000000007', '[["started", {"attempt": 1, "worker": "alpha@old:1.aaaaaa"}, 10],
  ["delta", {"text": "five "}, 1], ["delta", {"text": "ten"}, 1], ["delta", {"text": "four "}, 1],
  ["delta", {"text": "nine "}, 1], ["delta", {"text": "seven "}, 1]]', '{4,9,3,8,6}', NULL),
('01900000-0000-7000-8000-000000000008', '[]', '{}', NULL);

INSERT INTO job_attempts (job_id, number, worker_id, model, stage, started_at, ended_at, how) VALUES
('01900000-0000-7000-8000-000000000001', 1, 'alpha@old:1.aaaaaa', 'alpha', 'generate',
 now() - interval '25 s', now() - interval '21 s', 'succeeded'),
('01900000-0000-7000-8000-000000000003', 1, 'embedder@old:2.bbbbbb', 'embedder', 'embed_documents',
 now() - interval '20 s', NULL, NULL),
('01900000-0000-7000-8000-000000000006', 1, 'alpha@old:1.aaaaaa', 'alpha', 'generate', now() - interval '17 s', NULL, NULL),
('01900000-0000-7000-8000-000000000007', 1, 'alpha@old:1.aaaaaa', 'alpha', 'generate', now() - interval '17 s', NULL, NULL),
('01900000-0000-7000-8000-000000000008', 1, 'embedder@old:2.bbbbbb', 'embedder', 'retrieve',
 now() - interval '17 s', now() - interval '14 s', 'passed_on');

INSERT INTO usage (job_id, tenant_id, model, prompt_tokens, completion_tokens, embedding_tokens, created_at) VALUES
('01900000-0000-7000-8000-000000000001', '01900000-0000-7000-8000-0000000000a0', 'alpha', 3, 3, 0, now() - interval '21 s'),
('01900000-0000-7000-8000-000000000002', '01900000-0000-7000-8000-0000000000a0', 'alpha', 0, 0, 0, now() - interval '20 s');

INSERT INTO turns (model, lane, tenant_id, taken, aged_at) VALUES
('alpha', 'batch', '01900000-0000-7000-8000-0000000000a0', 1, now() - interval '17 s');

-- {"type": "generate", "model": "alpha", "input": {"prompt": "all is well"}, "params": {"temperature": 0},
--  "metadata": {"order": "7"}} to /v1/jobs
INSERT INTO idempotency_keys (tenant_id, key, fingerprint, job_id, created_at) VALUES
('01900000-0000-7000-8000-0000000000a0', 'order-7',
 '\xe477090e669253596de0af86d14364acfd051ab0fad34328becceb0572a12bb3', '01900000-0000-7000-8000-000000000001', now() - interval '26 s');

-- The ingest has embedded the first of its two texts.
INSERT INTO collections (id, tenant_id, name, model, dimensions, created_at) VALUES
('01900000-0000-7000-8000-0000000000c0', '01900000-0000-7000-8000-0000000000a0', 'facts', 'embedder', 16,
 now() - interval '20 s');
INSERT INTO documents (id, tenant_id, collection_id, job_id, title, kind, bytes, status, chunks, tokens, created_at) VALUES
('01900000-0000-7000-8000-0000000000d1', '01900000-0000-7000-8000-0000000000a0', '01900000-0000-7000-8000-0000000000c0',
 '01900000-0000-7000-8000-000000000003', 'Boats', 'text', 24, 'ready', 1, 5, now() - interval '20 s'),
('01900000-0000-7000-8000-0000000000d2', '01900000-0000-7000-8000-0000000000a0', '01900000-0000-7000-8000-0000000000c0',
 '01900000-0000-7000-8000-000000000003', 'Words', 'text', 849, 'pending', NULL, NULL, now() - interval '20 s');
INSERT INTO document_texts (document_id, tenant_id, text) VALUES
('01900000-0000-7000-8000-0000000000d1', '01900000-0000-7000-8000-0000000000a0', 'The boat costs 42 coins.'),
('01900000-0000-7000-8000-0000000000d2', '01900000-0000-7000-8000-0000000000a0',
 (SELECT string_agg('word' || number, ' ' ORDER BY number) FROM generate_series(0, 119) number));
INSERT INTO chunks (document_id, number, tenant_id, collection_id, text, tokens, embedding) VALUES
('01900000-0000-7000-8000-0000000000d1', 0, '01900000-0000-7000-8000-0000000000a0',
 '01900000-0000-7000-8000-0000000000c0', 'The boat costs 42 coins.', 5,
 '[0,0,0.3779645,0,0,0,0.3779645,0,0.755929,0,0.3779645,0,0,0,0,0]');

-- The receiver has answered 500 twice.
INSERT INTO webhook_endpoints (id, tenant_id, url, events, disabled, created_at) VALUES
('01900000-0000-7000-8000-0000000000e0', '01900000-0000-7000-8000-0000000000a0', 'http://127.0.0.1:9000/hooks',
 '{job.failed,job.succeeded}', false, now() - interval '26 s');
INSERT INTO webhook_secrets (id, tenant_id, endpoint_id, created_at) VALUES
('01900000-0000-7000-8000-0000000000e1', '01900000-0000-7000-8000-0000000000a0',
 '01900000-0000-7000-8000-0000000000e0', now() - interval '26 s');
INSERT INTO webhook_deliveries (id, tenant_id, endpoint_id, target_id, job_id, message_id, type, payload, status,
                                attempts, attempts_before, last_status, created_at, next_at, give_up_at) VALUES
('01900000-0000-7000-8000-0000000000f0', '01900000-0000-7000-8000-0000000000a0',
 '01900000-0000-7000-8000-0000000000e0', '01900000-0000-7000-8000-0000000000e0', '01900000-0000-7000-8000-000000000001',
 '01900000-0000-7000-8000-0000000000f1', 'job.succeeded',
 '{"type":"job.succeeded","timestamp":"2026-11-26T20:45:10.327499Z","data":{"id":"job_01900000000070008000000000000001"}}',
 'pending', 2, 0, 500, now() - interval '21 s', now() - interval '1 s', now() + interval '3 days');
