#include "server/pending_chunks.h"

#include <utility>

namespace tlin {
namespace {

size_t WireBytes(const Chunk& chunk) {
  size_t bytes = chunk.text.size() + 4 * chunk.token_ids.size();
  for (const TokenLogprobs& logprobs : chunk.logprobs) {
    bytes += 16 + 12 * logprobs.top.size();
  }
  return bytes;
}

template <typename T>
void Append(const std::vector<T>& from, std::vector<T>* to) {
  to->insert(to->end(), from.begin(), from.end());
}

}  // namespace

void PendingChunks::Add(const Chunk& chunk) {
  const size_t bytes = WireBytes(chunk);
  if (chunks_.empty() || last_bytes_ >= kMaxChunkBytes) {
    chunks_.push_back(chunk);
    last_bytes_ = bytes;
    return;
  }
  Chunk& last = chunks_.back();
  last.text += chunk.text;
  Append(chunk.token_ids, &last.token_ids);
  Append(chunk.logprobs, &last.logprobs);
  last_bytes_ += bytes;
}

Chunk PendingChunks::Take() {
  Chunk chunk = std::move(chunks_.front());
  chunks_.pop_front();
  return chunk;
}

void PendingChunks::Clear() { chunks_.clear(); }

}  // namespace tlin
