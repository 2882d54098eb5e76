// What a stream's reader has not taken yet.
#ifndef TLIN_SERVER_PENDING_CHUNKS_H_
#define TLIN_SERVER_PENDING_CHUNKS_H_

#include <cstddef>
#include <deque>

#include "engine/token_sink.h"

namespace tlin {

// Joins new tokens to the last chunk, so that a reader who lags gets few, long
// messages; a chunk that has reached kMaxChunkBytes is left alone, so that none
// outgrows what clients accept (4 MiB by default).
//
// Memory: bounded by the request's max_new_tokens, at most about 50 B a token,
// and 12 B more for each of the `logprobs` candidates asked for. Not
// thread-safe.
class PendingChunks {
 public:
  static constexpr size_t kMaxChunkBytes = 256 << 10;

  void Add(const Chunk& chunk);
  bool empty() const { return chunks_.empty(); }
  // REQUIRES: !empty().
  Chunk Take();
  void Clear();

 private:
  std::deque<Chunk> chunks_;
  size_t last_bytes_ = 0;  // of chunks_.back(), about, on the wire
};

}  // namespace tlin

#endif  // TLIN_SERVER_PENDING_CHUNKS_H_
