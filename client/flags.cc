#include "client/flags.h"

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace tlin::client {

bool ParseIds(absl::string_view text, std::vector<int32_t>* ids) {
  std::vector<int32_t> parsed;
  for (absl::string_view part :
       absl::StrSplit(text, absl::ByAnyChar(", \t\r\n"), absl::SkipEmpty())) {
    int32_t id = 0;
    if (!absl::SimpleAtoi(part, &id)) return false;
    parsed.push_back(id);
  }
  *ids = std::move(parsed);
  return true;
}

void FlagSet::Add(absl::string_view name, std::vector<std::string>* target,
                  absl::string_view help) {
  Register(name, help, false, "text", "", [target](absl::string_view text) {
    target->emplace_back(text);
    return true;
  });
}

void FlagSet::Add(absl::string_view name, std::vector<int32_t>* target,
                  absl::string_view help) {
  Register(name, help, false, "numbers such as 1,2,3", "",
           [target](absl::string_view text) { return ParseIds(text, target); });
}

void FlagSet::Register(absl::string_view name, absl::string_view help,
                       bool is_switch, absl::string_view wanted,
                       std::string default_value,
                       std::function<bool(absl::string_view)> set) {
  flags_.push_back({std::string(name), std::string(help), is_switch,
                    std::string(wanted), std::move(default_value),
                    std::move(set)});
}

const FlagSet::Flag* FlagSet::Find(absl::string_view name) const {
  for (const Flag& flag : flags_) {
    if (flag.name == name) return &flag;
  }
  return nullptr;
}

absl::StatusOr<size_t> FlagSet::Take(const std::vector<std::string>& args,
                                     size_t i) {
  const absl::string_view text = absl::StripPrefix(args[i], "--");
  const size_t equals = text.find('=');
  const bool has_value = equals != absl::string_view::npos;
  const absl::string_view name = text.substr(0, equals);
  absl::string_view value = has_value ? text.substr(equals + 1) : "";
  size_t taken = 1;

  const Flag* flag = Find(name);
  if (flag == nullptr && !has_value) {
    absl::string_view positive = name;
    if (absl::ConsumePrefix(&positive, "no")) {
      flag = Find(positive);
      if (flag != nullptr && !flag->is_switch) flag = nullptr;
      value = "false";
    }
  } else if (flag != nullptr && flag->is_switch && !has_value) {
    value = "true";
  } else if (flag != nullptr && !has_value) {
    if (i + 1 == args.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--", name, ": a value is missing"));
    }
    value = args[i + 1];
    taken = 2;
  }
  if (flag == nullptr) {
    return absl::InvalidArgumentError(
        absl::StrCat("--", name, ": unknown flag (--help lists them)"));
  }
  if (!flag->set(value)) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--", flag->name, ": want ", flag->wanted, ", not '", value, "'"));
  }
  return taken;
}

absl::StatusOr<std::vector<std::string>> FlagSet::Parse(
    const std::vector<std::string>& args) {
  std::vector<std::string> rest;
  for (size_t i = 0; i < args.size();) {
    const std::string& arg = args[i];
    if (arg == "--") {
      rest.insert(rest.end(), args.begin() + i + 1, args.end());
      break;
    }
    if (arg == "--help" || arg == "-h") {
      help_wanted_ = true;
      break;
    }
    if (arg.size() < 2 || arg[0] != '-') {
      rest.push_back(arg);
      ++i;
      continue;
    }
    if (arg[1] != '-') {
      return absl::InvalidArgumentError(absl::StrCat(
          arg, ": unknown flag (flags begin with --; text after a lone --)"));
    }
    const absl::StatusOr<size_t> taken = Take(args, i);
    if (!taken.ok()) return taken.status();
    i += *taken;
  }
  if (help_wanted_) return rest;
  for (const auto& check : checks_) {
    if (absl::Status status = check(); !status.ok()) return status;
  }
  return rest;
}

std::string FlagSet::Help() const {
  std::string text = absl::StrCat("Usage: ", usage_, "\n", about_, "\n");
  for (const Flag& flag : flags_) {
    absl::StrAppend(&text, "  --", flag.name);
    if (!flag.default_value.empty() && !flag.is_switch) {
      absl::StrAppend(&text, "=", flag.default_value);
    }
    absl::StrAppend(&text, "\n      ", flag.help,
                    flag.is_switch && flag.default_value == "true"
                        ? absl::StrCat(" (on; --no", flag.name, " for off)")
                        : "",
                    "\n");
  }
  return text;
}

}  // namespace tlin::client
