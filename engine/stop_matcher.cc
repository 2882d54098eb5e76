#include "engine/stop_matcher.h"

#include <algorithm>

#include "engine/base/check.h"

namespace tlin {

StopMatcher::StopMatcher(absl::Span<const std::string> stops) {
  patterns_.reserve(stops.size());
  for (const std::string& stop : stops) {
    TLIN_CHECK(!stop.empty());
    Pattern pattern{stop, std::vector<size_t>(stop.size(), 0), 0};
    size_t length = 0;
    for (size_t i = 1; i < stop.size(); ++i) {
      while (length > 0 && stop[i] != stop[length]) {
        length = pattern.failure[length - 1];
      }
      if (stop[i] == stop[length]) ++length;
      pattern.failure[i] = length;
    }
    patterns_.push_back(std::move(pattern));
  }
}

void StopMatcher::Advance(char c, Pattern* pattern) {
  while (pattern->matched > 0 && c != pattern->text[pattern->matched]) {
    pattern->matched = pattern->failure[pattern->matched - 1];
  }
  if (c == pattern->text[pattern->matched]) ++pattern->matched;
}

bool StopMatcher::Append(absl::string_view text, std::string* out) {
  const size_t before = held_.size();
  held_.append(text.data(), text.size());
  const Pattern* found = nullptr;
  size_t found_begin = 0;  // in held_
  size_t keep = 0;         // bytes at the end that a stop string may begin with
  for (Pattern& pattern : patterns_) {
    for (size_t i = before; i < held_.size(); ++i) {
      Advance(held_[i], &pattern);
      if (pattern.matched < pattern.text.size()) continue;
      const size_t begin = i + 1 - pattern.text.size();
      if (found == nullptr || begin < found_begin ||
          (begin == found_begin && pattern.text.size() > found->text.size())) {
        found = &pattern;
        found_begin = begin;
      }
      break;  // any later one of this string begins later
    }
    keep = std::max(keep, pattern.matched);
  }
  if (found != nullptr) {
    out->append(held_, 0, found_begin);
    match_ = found->text;
    held_.clear();
    return true;
  }
  const size_t decided = held_.size() - keep;
  out->append(held_, 0, decided);
  held_.erase(0, decided);
  return false;
}

void StopMatcher::Flush(std::string* out) {
  out->append(held_);
  held_.clear();
}

}  // namespace tlin
