// From tokens to what a caller reads: decode, stop, send; and scores.
#ifndef TLIN_ENGINE_COMMITTER_H_
#define TLIN_ENGINE_COMMITTER_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "engine/ending.h"
#include "engine/listener.h"
#include "engine/sampling/sampler.h"
#include "engine/sampling/sampling.h"
#include "engine/sequence.h"
#include "engine/step_plan.h"

namespace tlin {

// Sends chunks and tells of tokens; the ends of requests are the loop's to
// send. Engine thread only.
class Committer {
 public:
  // `listener` outlives the committer.
  Committer(int32_t vocab_size, EngineListener* listener);

  // The next token of a generating sequence was chosen. An ending where it is
  // the last one, where the caller has gone, or where the logits were of no
  // use.
  //
  // Ids leave with text: a token whose text is held back, because a stop string
  // may begin in it, waits and leaves with the chunk that decides. Every token
  // that was generated leaves in the end, that of the stop string or the end of
  // text too: what is cut is text.
  std::optional<Ending> CommitToken(const SampledToken& sampled, absl::Time now,
                                    int64_t step, Sequence* sequence);

  // Scores the tokens that follow `count` rows; the first row is that of the
  // token at `position`, and its logits are row `first_row`. An ending with the
  // sequence's last token.
  std::optional<Ending> CommitScores(const LogitRows& logits, int32_t first_row,
                                     int64_t position, int32_t count,
                                     Sequence* sequence);

  // Sends all that is held back: the generation ends for another reason.
  void SendHeld(Sequence* sequence);

 private:
  void TellOfToken(const Sequence& sequence, absl::Time now);
  void Send(Sequence* sequence);

  EngineListener* const listener_;
  Sampler sampler_;      // of scores
  SampledToken scored_;  // scratch
  std::string text_;     // scratch
};

}  // namespace tlin

#endif  // TLIN_ENGINE_COMMITTER_H_
