#include "tests/testing/recording_sink.h"

namespace tlin {

void RecordingSink::Expect(bool condition, const char* fault) {
  if (!condition) faults_.push_back(fault);
}

void RecordingSink::OnStarted(const Started& started) {
  {
    absl::MutexLock lock(&mutex_);
    Expect(!start_.has_value(), "started twice");
    Expect(!ended_, "started after its end");
    start_ = started;
  }
  if (on_start) on_start();
}

void RecordingSink::OnChunk(const Chunk& chunk) {
  {
    absl::MutexLock lock(&mutex_);
    Expect(start_.has_value(), "a chunk before the start");
    Expect(!ended_, "a chunk after the end");
    tokens_ += chunk.token_ids.size();
    chunks_.push_back(chunk);
  }
  if (on_chunk) on_chunk(chunk);
}

void RecordingSink::OnFinished(const Finished& finished) {
  absl::MutexLock lock(&mutex_);
  Expect(start_.has_value(), "finished before the start");
  Expect(!ended_, "a second end");
  finished_ = finished;
  ended_ = true;
}

void RecordingSink::OnError(const absl::Status& status) {
  absl::MutexLock lock(&mutex_);
  Expect(!ended_, "a second end");
  Expect(!status.ok(), "an error that is OK");
  status_ = status;
  ended_ = true;
}

bool RecordingSink::WaitForEnd(absl::Duration timeout) {
  absl::MutexLock lock(&mutex_);
  return mutex_.AwaitWithTimeout(absl::Condition(&ended_), timeout);
}

bool RecordingSink::WaitForTokens(size_t tokens, absl::Duration timeout) {
  const auto there = [this, tokens]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return tokens_ >= tokens || ended_;
  };
  absl::MutexLock lock(&mutex_);
  return mutex_.AwaitWithTimeout(absl::Condition(&there), timeout) &&
         tokens_ >= tokens;
}

bool RecordingSink::started() const { return start().has_value(); }

bool RecordingSink::ended() const {
  absl::MutexLock lock(&mutex_);
  return ended_;
}

std::optional<Started> RecordingSink::start() const {
  absl::MutexLock lock(&mutex_);
  return start_;
}

std::optional<Finished> RecordingSink::finished() const {
  absl::MutexLock lock(&mutex_);
  return finished_;
}

absl::Status RecordingSink::status() const {
  absl::MutexLock lock(&mutex_);
  return status_;
}

std::string RecordingSink::text() const {
  std::string text;
  for (const Chunk& chunk : chunks()) text += chunk.text;
  return text;
}

std::vector<TokenId> RecordingSink::token_ids() const {
  std::vector<TokenId> ids;
  for (const Chunk& chunk : chunks()) {
    ids.insert(ids.end(), chunk.token_ids.begin(), chunk.token_ids.end());
  }
  return ids;
}

std::vector<TokenLogprobs> RecordingSink::logprobs() const {
  std::vector<TokenLogprobs> all;
  for (const Chunk& chunk : chunks()) {
    all.insert(all.end(), chunk.logprobs.begin(), chunk.logprobs.end());
  }
  return all;
}

std::vector<Chunk> RecordingSink::chunks() const {
  absl::MutexLock lock(&mutex_);
  return chunks_;
}

std::vector<std::string> RecordingSink::faults() const {
  absl::MutexLock lock(&mutex_);
  return faults_;
}

}  // namespace tlin
