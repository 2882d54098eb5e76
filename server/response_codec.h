// The engine's events as messages of the wire. Pure.
#ifndef TLIN_SERVER_RESPONSE_CODEC_H_
#define TLIN_SERVER_RESPONSE_CODEC_H_

#include <string>
#include <vector>

#include "absl/types/span.h"
#include "engine/token_sink.h"
#include "tlin/v1/generation.pb.h"

namespace tlin {

// `session_id` is empty where there is none.
v1::GenerateResponse EncodeStarted(const Started& started,
                                   const std::string& request_id,
                                   const std::string& session_id);
v1::GenerateResponse EncodeChunk(const Chunk& chunk);
v1::GenerateResponse EncodeFinished(const Finished& finished);

// Perplexity is 1 where there is nothing to score.
v1::ScoreResponse EncodeScore(absl::Span<const TokenLogprobs> tokens);

}  // namespace tlin

#endif  // TLIN_SERVER_RESPONSE_CODEC_H_
