// The program's version, from the top CMakeLists.txt.
#ifndef TLIN_SERVER_VERSION_H_
#define TLIN_SERVER_VERSION_H_

namespace tlin {

inline constexpr char kVersion[] = TLIN_VERSION;

}  // namespace tlin

#endif  // TLIN_SERVER_VERSION_H_
