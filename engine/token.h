// The engine's plain words for tokens and places.
#ifndef TLIN_ENGINE_TOKEN_H_
#define TLIN_ENGINE_TOKEN_H_

#include <cstdint>

namespace tlin {

using TokenId = int32_t;  // [0, vocab_size)
using SlotId = int32_t;   // [0, slots)

}  // namespace tlin

#endif  // TLIN_ENGINE_TOKEN_H_
