-- What a service at this migration may hold: tasks in every state, webhooks, and their messages in every state, a transcript to be given again, keys in every
-- state, what was used, who runs a task, who sends a message, workers, and a secret.
-- @SHA256@ is the recording's hash, @PORT@ a receiver's port.

INSERT INTO jobs (id, owner, status, priority, epoch, options, upload, checkpoints, stage, progress, failures, error, created_at, started_at, completed_at, idempotency_key, fingerprint, work, cached, worker, trace, live)
VALUES
  ('00000000-0000-4000-8000-000000000001', 'default', 'pending', 3, 0, '{"language": "de", "model": null, "task": "transcribe", "enable_diarization": true, "num_speakers": null, "min_speakers": null, "max_speakers": null, "prompt": "Ann & Bob", "hotwords": null, "suppress_numerals": false, "word_timestamps": true, "speaker_embeddings": false, "languages": [], "temperature": 0.0, "vad_onset": 0.5, "vad_offset": 0.363, "channels": "mix", "known_speakers": [], "token_logprobs": false, "vad_pad": 0.0, "vad_min_silence": 0.0}', '{"name": "Köln, 5 €.wav", "size": 32044, "sha256": "@SHA256@", "duration": 1.0}', '{}', NULL, 0.0, '{}', NULL, '2024-01-01 08:00:00.000000', NULL, NULL, 'meeting-7', 'cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd', NULL, 0, NULL, NULL, NULL),
  ('00000000-0000-4000-8000-000000000002', 'default', 'processing', 0, 1, '{"language": null, "model": null, "task": "transcribe", "enable_diarization": true, "num_speakers": null, "min_speakers": null, "max_speakers": null, "prompt": null, "hotwords": null, "suppress_numerals": false, "word_timestamps": true, "speaker_embeddings": false, "languages": [], "temperature": 0.0, "vad_onset": 0.5, "vad_offset": 0.363, "channels": "mix", "known_speakers": [], "token_logprobs": false, "vad_pad": 0.0, "vad_min_silence": 0.0}', '{"name": "Köln, 5 €.wav", "size": 32044, "sha256": "@SHA256@", "duration": 1.0}', '{"decode": "decode.1.json", "transcribe": "transcribe.1.json"}', 'transcribe', 0.4, '{"transcribe": 2}', NULL, '2024-01-02 08:00:00.000000', '2024-01-02 08:00:01.250000', NULL, NULL, NULL, NULL, 0, 'gpu-1:4711', '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', '{"message": "Transcribing", "eta": 12.5}'),
  ('00000000-0000-4000-8000-000000000003', 'default', 'completed', 0, 1, '{"language": null, "model": null, "task": "transcribe", "enable_diarization": true, "num_speakers": null, "min_speakers": null, "max_speakers": null, "prompt": null, "hotwords": null, "suppress_numerals": false, "word_timestamps": true, "speaker_embeddings": false, "languages": [], "temperature": 0.0, "vad_onset": 0.5, "vad_offset": 0.363, "channels": "mix", "known_speakers": [], "token_logprobs": false, "vad_pad": 0.0, "vad_min_silence": 0.0}', '{"name": "Köln, 5 €.wav", "size": 32044, "sha256": "@SHA256@", "duration": 1.0}', '{"assign": "assign.1.json"}', NULL, 1.0, '{}', NULL, '2024-01-03 08:00:00.000000', '2024-01-03 08:00:01.250000', '2024-01-03 08:00:09.500000', NULL, NULL, 'abababababababababababababababababababababababababababababababab', 0, NULL, NULL, NULL),
  ('00000000-0000-4000-8000-000000000004', 'default', 'failed', 0, 3, '{"language": null, "model": null, "task": "transcribe", "enable_diarization": true, "num_speakers": null, "min_speakers": null, "max_speakers": null, "prompt": null, "hotwords": null, "suppress_numerals": false, "word_timestamps": true, "speaker_embeddings": false, "languages": [], "temperature": 0.0, "vad_onset": 0.5, "vad_offset": 0.363, "channels": "mix", "known_speakers": [], "token_logprobs": false, "vad_pad": 0.0, "vad_min_silence": 0.0}', '{"name": "Köln, 5 €.wav", "size": 32044, "sha256": "@SHA256@", "duration": 1.0}', '{"decode": "decode.1.json"}', 'diarize', 0.6, '{}', 'The model is out of reach.', '2024-01-04 08:00:00.000000', '2024-01-04 08:00:01.250000', '2024-01-04 08:00:09.500000', NULL, NULL, NULL, 0, NULL, NULL, NULL),
  ('00000000-0000-4000-8000-000000000005', 'somebody', 'cancelled', 0, 2, '{"language": null, "model": null, "task": "transcribe", "enable_diarization": true, "num_speakers": null, "min_speakers": null, "max_speakers": null, "prompt": null, "hotwords": null, "suppress_numerals": false, "word_timestamps": true, "speaker_embeddings": false, "languages": [], "temperature": 0.0, "vad_onset": 0.5, "vad_offset": 0.363, "channels": "mix", "known_speakers": [], "token_logprobs": false, "vad_pad": 0.0, "vad_min_silence": 0.0}', '{"name": "Köln, 5 €.wav", "size": 32044, "sha256": "@SHA256@", "duration": 1.0}', '{}', NULL, 0.1, '{}', NULL, '2024-01-05 08:00:00.000000', '2024-01-05 08:00:01.250000', '2024-01-05 08:00:09.500000', NULL, NULL, NULL, 0, NULL, NULL, NULL);

INSERT INTO webhooks (id, task_id, owner, url, receiver, secret, created_at, disabled_at)
VALUES
  ('00000000-0000-4000-8000-000000000101', '00000000-0000-4000-8000-000000000003', 'default', 'http://127.0.0.1:@PORT@/done', '127.0.0.1:@PORT@', 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', '2024-01-03 08:00:00.000000', NULL),
  ('00000000-0000-4000-8000-000000000102', '00000000-0000-4000-8000-000000000004', 'default', 'https://gone.example/', 'gone.example:443', 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', '2024-01-04 08:00:00.000000', '2024-01-04 08:00:10.000000');

INSERT INTO webhook_messages (id, webhook_id, task_id, type, body, receiver, status, attempts, next_attempt_at, last_attempt_at, last_status_code, last_error, created_at, claimed_until)
VALUES
  ('msg_00000000000000000000000000000001', '00000000-0000-4000-8000-000000000101', '00000000-0000-4000-8000-000000000003', 'transcription.completed', '{"type":"transcription.completed","timestamp":"2024-01-03T08:00:09.500000Z","data":{"task_id":"00000000-0000-4000-8000-000000000003","status":"completed"}}', '127.0.0.1:@PORT@', 'delivered', 1, NULL, '2024-01-03 08:00:10.000000', 200, NULL, '2024-01-03 08:00:09.500000', NULL),
  ('msg_00000000000000000000000000000002', '00000000-0000-4000-8000-000000000101', '00000000-0000-4000-8000-000000000003', 'transcription.completed', '{"type":"transcription.completed","timestamp":"2024-01-03T08:00:09.500000Z","data":{"task_id":"00000000-0000-4000-8000-000000000003","status":"completed"}}', '127.0.0.1:@PORT@', 'pending', 2, '2024-01-03 09:00:00.000000', '2024-01-03 08:10:00.000000', 503, 'The receiver answered 503.', '2024-01-03 08:00:09.500000', '2024-01-03 08:11:00.000000'),
  ('msg_00000000000000000000000000000003', '00000000-0000-4000-8000-000000000102', '00000000-0000-4000-8000-000000000004', 'transcription.failed', '{"type":"transcription.failed","timestamp":"2024-01-03T08:00:09.500000Z","data":{"task_id":"00000000-0000-4000-8000-000000000004","status":"failed"}}', 'gone.example:443', 'dead', 1, NULL, '2024-01-04 08:00:10.000000', 410, 'The receiver answered 410: it wants no more messages, and the webhook is disabled.', '2024-01-03 08:00:09.500000', NULL);

INSERT INTO results (task_id, work, file, size, sha256, used_at)
VALUES
  ('00000000-0000-4000-8000-000000000003', 'abababababababababababababababababababababababababababababababab', 'assign.1.json', 400, 'efefefefefefefefefefefefefefefefefefefefefefefefefefefefefefefef', '2024-01-03 08:00:09.500000');

INSERT INTO keys (id, name, scopes, digest, created_at, expires_at, revoked_at, last_used_at)
VALUES
  ('wxa_000000000001', 'ann', '["read", "transcribe"]', x'abababababababababababababababababababababababababababababababab', '2024-01-01 08:00:00.000000', NULL, NULL, '2024-01-03 08:00:00.000000'),
  ('wxa_000000000002', 'ann', '["admin"]', x'cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd', '2024-01-01 08:00:00.000000', '2024-02-01 00:00:00.000000', NULL, NULL),
  ('wxa_000000000003', 'ben', '["read"]', x'efefefefefefefefefefefefefefefefefefefefefefefefefefefefefefefef', '2024-01-01 08:00:00.000000', NULL, '2024-01-02 08:00:00.000000', NULL);

INSERT INTO usage (day, owner, completed, failed, cached, seconds, cached_seconds)
VALUES
  ('2024-01-03', 'default', 1, 0, 0, 1.0, 0.0),
  ('2024-01-04', 'default', 0, 1, 0, 0.0, 0.0);

INSERT INTO workers (id, host, pid, queues, devices, task_ids, capacity, draining, started_at, seen_at)
VALUES
  ('gpu-1:4711', 'gpu-1', 4711, '["default"]', '["cuda:0"]', '["00000000-0000-4000-8000-000000000002"]', 2, 0, '2024-01-01 08:00:00.000000', '2024-01-02 08:00:02.000000');

INSERT INTO secrets (name, value)
VALUES
  ('links', x'0101010101010101010101010101010101010101010101010101010101010101');
