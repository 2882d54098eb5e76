// Flags of one command: --name=value, --name value, --switch, --noswitch.
//
// Each command has a set of its own, on the stack; absl/flags would put the
// flags of all commands into one global registry.
#ifndef TLIN_CLIENT_FLAGS_H_
#define TLIN_CLIENT_FLAGS_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/flags/marshalling.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace tlin::client {

class FlagSet {
 public:
  // `usage` is one line: "tlin score [TEXT]"; `about` what the command does.
  FlagSet(absl::string_view usage, absl::string_view about)
      : usage_(usage), about_(about) {}

  // Registers --name. *target holds the default and outlives the set. T: bool,
  // an integer, float, double, std::string or absl::Duration.
  template <typename T>
  void Add(absl::string_view name, T* target, absl::string_view help) {
    Register(name, help, std::is_same_v<T, bool>, Wanted<T>(),
             absl::UnparseFlag<T>(*target), [target](absl::string_view text) {
               std::string ignored;
               return absl::ParseFlag<T>(text, target, &ignored);
             });
  }

  // Unset unless given: `help` says what the server then takes.
  template <typename T>
  void Add(absl::string_view name, std::optional<T>* target,
           absl::string_view help) {
    Register(name, help, std::is_same_v<T, bool>, Wanted<T>(), "",
             [target](absl::string_view text) {
               T value{};
               std::string ignored;
               if (!absl::ParseFlag<T>(text, &value, &ignored)) return false;
               *target = std::move(value);
               return true;
             });
  }

  // May be given several times.
  void Add(absl::string_view name, std::vector<std::string>* target,
           absl::string_view help);
  // Numbers with commas or spaces between them.
  void Add(absl::string_view name, std::vector<int32_t>* target,
           absl::string_view help);

  // Runs at the end of Parse, after all targets are set, and says what is wrong
  // with them together.
  void AddCheck(std::function<absl::Status()> check) {
    checks_.push_back(std::move(check));
  }

  // Sets the targets and returns the other arguments in order. A lone "-" is an
  // argument; all that follows "--" are. INVALID_ARGUMENT names the flag, in
  // one line; targets of flags before it are set. --help parses nothing after
  // it.
  absl::StatusOr<std::vector<std::string>> Parse(
      const std::vector<std::string>& args);

  bool help_wanted() const { return help_wanted_; }
  std::string Help() const;

 private:
  struct Flag {
    std::string name;
    std::string help;
    bool is_switch;
    std::string wanted;         // "a number"
    std::string default_value;  // empty: none worth showing
    std::function<bool(absl::string_view)> set;
  };

  template <typename T>
  static const char* Wanted() {
    if constexpr (std::is_same_v<T, bool>) return "true or false";
    if constexpr (std::is_same_v<T, absl::Duration>) {
      return "a duration (500ms, 30s, 2m)";
    }
    if constexpr (std::is_unsigned_v<T>) return "a whole number from 0";
    if constexpr (std::is_integral_v<T>) return "a whole number";
    if constexpr (std::is_floating_point_v<T>) return "a number";
    return "text";
  }

  void Register(absl::string_view name, absl::string_view help, bool is_switch,
                absl::string_view wanted, std::string default_value,
                std::function<bool(absl::string_view)> set);
  const Flag* Find(absl::string_view name) const;
  // Sets the flag at args[i] and returns how many arguments that took.
  absl::StatusOr<size_t> Take(const std::vector<std::string>& args, size_t i);

  const std::string usage_;
  const std::string about_;
  std::vector<Flag> flags_;
  std::vector<std::function<absl::Status()>> checks_;
  bool help_wanted_ = false;
};

// "1,2 3" -> {1, 2, 3}. False, with *ids untouched, where it is anything else.
bool ParseIds(absl::string_view text, std::vector<int32_t>* ids);

}  // namespace tlin::client

#endif  // TLIN_CLIENT_FLAGS_H_
