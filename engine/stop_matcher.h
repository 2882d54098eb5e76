// Finds stop strings in text that comes piece by piece.
#ifndef TLIN_ENGINE_STOP_MATCHER_H_
#define TLIN_ENGINE_STOP_MATCHER_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace tlin {

// Text passes through; what may be the beginning of a stop string is held until
// the next piece decides. The first piece in which any stop string is complete
// ends the search: of the strings complete by then the one that begins earliest
// counts, of equals the longest. Work is constant a byte and a string
// (Knuth-Morris-Pratt), whatever the strings are.
//
// Where text and stop strings are whole UTF-8, what comes out is. Engine thread
// only.
class StopMatcher {
 public:
  // REQUIRES: no string is empty.
  explicit StopMatcher(absl::Span<const std::string> stops);

  // Appends to `out` the text that no stop string can begin in any more. True:
  // one was found, `match()` says which; its text and all behind it are not
  // passed. REQUIRES: nothing was found before.
  bool Append(absl::string_view text, std::string* out);
  // Appends what is still held: the text ends here.
  void Flush(std::string* out);

  bool holding() const { return !held_.empty(); }
  const std::string& match() const { return match_; }

 private:
  struct Pattern {
    std::string text;
    // failure[i]: the longest proper prefix that ends text[0, i].
    std::vector<size_t> failure;
    size_t matched = 0;  // longest prefix that the text so far ends with
  };

  static void Advance(char c, Pattern* pattern);

  std::vector<Pattern> patterns_;
  std::string held_;
  std::string match_;
};

}  // namespace tlin

#endif  // TLIN_ENGINE_STOP_MATCHER_H_
