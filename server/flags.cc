#include "server/flags.h"

#include <algorithm>
#include <filesystem>
#include <numeric>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"

namespace tlin {
namespace {

// Stores the value, or returns what was wanted instead.
using Setter = std::string (*)(absl::string_view value, Flags* flags);

template <std::string Flags::*member>
std::string SetText(absl::string_view value, Flags* flags) {
  flags->*member = std::string(value);
  return value.empty() ? "a value" : "";
}

template <std::string TlsFiles::*member>
std::string SetTlsFile(absl::string_view value, Flags* flags) {
  flags->tls.*member = std::string(value);
  return value.empty() ? "a file" : "";
}

template <std::string Flags::*member>
std::string SetAddress(absl::string_view value, Flags* flags) {
  flags->*member = std::string(value);
  const size_t colon = value.rfind(':');
  uint32_t port = 0;
  const bool ok = colon != absl::string_view::npos && colon > 0 &&
                  absl::SimpleAtoi(value.substr(colon + 1), &port) &&
                  port <= 65535;
  return ok ? "" : "HOST:PORT, with a port from 0 to 65535";
}

std::string SetMetricsAddress(absl::string_view value, Flags* flags) {
  flags->metrics_tls = absl::ConsumePrefix(&value, "https://");
  if (!flags->metrics_tls) absl::ConsumePrefix(&value, "http://");
  return SetAddress<&Flags::metrics_listen>(value, flags);
}

template <auto member, int64_t low, int64_t high>
std::string SetNumber(absl::string_view value, Flags* flags) {
  int64_t number = 0;
  if (!absl::SimpleAtoi(value, &number) || number < low || number > high) {
    return absl::StrCat("a whole number from ", low, " to ", high);
  }
  flags->*member = static_cast<std::decay_t<decltype(flags->*member)>>(number);
  return "";
}

template <absl::Duration Flags::*member, int64_t least_ms, int64_t most = 86400>
std::string SetSeconds(absl::string_view value, Flags* flags) {
  constexpr double kLeast = static_cast<double>(least_ms) / 1000;
  double seconds = 0;
  // Written so that NaN is refused, too.
  if (!absl::SimpleAtod(value, &seconds) ||
      !(seconds >= kLeast && seconds <= most)) {
    return absl::StrCat("seconds from ", kLeast, " to ", most);
  }
  flags->*member = absl::Seconds(seconds);
  return "";
}

template <absl::Duration Flags::*member>
std::string SetMilliseconds(absl::string_view value, Flags* flags) {
  double milliseconds = 0;
  // Written so that NaN is refused, too.
  if (!absl::SimpleAtod(value, &milliseconds) ||
      !(milliseconds >= 0.1 && milliseconds <= 10000)) {
    return "milliseconds from 0.1 to 10000";
  }
  flags->*member = absl::Milliseconds(milliseconds);
  return "";
}

template <bool Flags::*member>
std::string SetSwitch(absl::string_view value, Flags* flags) {
  const bool ok = absl::SimpleAtob(value, &(flags->*member));
  return ok ? "" : "true or false";
}

std::string SetDevice(absl::string_view value, Flags* flags) {
  flags->device = std::string(value);
  uint32_t index = 0;
  const bool ok =
      value == "auto" || value == "cpu" ||
      (absl::ConsumePrefix(&value, "cuda:") && absl::SimpleAtoi(value, &index));
  return ok ? "" : "auto, cpu or cuda:N";
}

std::string SetDtype(absl::string_view value, Flags* flags) {
  flags->dtype = std::string(value);
  const bool ok = value == "auto" || value == "f32" || value == "bf16";
  return ok ? "" : "auto, f32 or bf16";
}

std::string SetDerivedHistory(absl::string_view value, Flags* flags) {
  flags->derived_history = std::string(value);
  const bool ok = value == "auto" || value == "on" || value == "off";
  return ok ? "" : "auto, on or off";
}

struct Spec {
  absl::string_view name;
  absl::string_view value;  // how help names it; empty: a switch
  absl::string_view help;
  Setter set;
};

constexpr int64_t kMaxTokens = int64_t{1} << 24;

constexpr Spec kSpecs[] = {
    {"model", "DIR",
     "model directory: config.json, model.safetensors, "
     "tokenizer.json (required)",
     SetText<&Flags::model>},
    {"model_name", "NAME", "name in requests and metrics (the directory's)",
     SetText<&Flags::model_name>},
    {"listen", "HOST:PORT", "gRPC; port 0 takes a free one (127.0.0.1:50051)",
     SetAddress<&Flags::listen>},
    {"metrics_listen", "HOST:PORT",
     "Prometheus, /metrics; https://HOST:PORT encrypts, with --tls_cert "
     "(127.0.0.1:9464)",
     SetMetricsAddress},
    {"port_file", "FILE", "written once ready: bound addresses, gRPC's first",
     SetText<&Flags::port_file>},
    {"tls_cert", "FILE", "certificate and its chain, PEM; encrypts (none)",
     SetTlsFile<&TlsFiles::certificate>},
    {"tls_key", "FILE", "its private key, PEM (none)",
     SetTlsFile<&TlsFiles::key>},
    {"tls_client_ca", "FILE",
     "clients need a certificate that one of these has signed, PEM (none)",
     SetTlsFile<&TlsFiles::client_ca>},
    {"token_file", "FILE",
     "clients need a bearer token of this file: lines NAME TOKEN (none)",
     SetText<&Flags::token_file>},
    {"metrics_password_file", "FILE",
     "who reads /metrics needs one of these: lines USER PASSWORD (none)",
     SetText<&Flags::metrics_password_file>},
    {"insecure", "",
     "allow an address that others can reach without credentials (false)",
     SetSwitch<&Flags::insecure>},
    {"device", "NAME", "auto, cpu or cuda:N (auto)", SetDevice},
    {"dtype", "NAME", "of weights and state: auto, f32 or bf16 (auto)",
     SetDtype},
    {"derived_history", "WHETHER",
     "look the first block's history up in a table of the vocabulary: auto, "
     "on or off (auto)",
     SetDerivedHistory},
    {"threads", "N", "CPU threads; 0 = as many as there are (0)",
     SetNumber<&Flags::threads, 0, 1024>},
    {"slots", "N",
     "requests that run at once; 0 = what fits a GPU, 16 on the CPU (0)",
     SetNumber<&Flags::slots, 0, 4096>},
    {"max_context_tokens", "N",
     "of one request, prompt and new tokens; 0 = "
     "2^20, or 2^17 where history grows (0)",
     SetNumber<&Flags::max_context_tokens, 0, kMaxTokens>},
    {"history_tokens", "N",
     "of all requests together, where history grows; "
     "0 = 8192 a slot (0)",
     SetNumber<&Flags::history_tokens, 0, kMaxTokens * 4096>},
    {"max_sessions", "N", "sessions that are kept, wherever (4096)",
     SetNumber<&Flags::max_sessions, 1, 1000000>},
    {"session_memory_bytes", "N",
     "host memory for states of sessions that left their slots (1073741824)",
     SetNumber<&Flags::session_memory_bytes, 0, int64_t{1} << 50>},
    {"prefix_cache_bytes", "N",
     "host memory for states that equal prompts share; 0 = none (268435456)",
     SetNumber<&Flags::prefix_cache_bytes, 0, int64_t{1} << 50>},
    {"session_dir", "DIR",
     "sessions are stored there and outlive the process (none)",
     SetText<&Flags::session_dir>},
    {"session_redis", "URL",
     "sessions are kept there, shared with other servers: "
     "redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE], or file:PATH of a file "
     "that holds it (none)",
     SetText<&Flags::session_redis>},
    {"session_lease_seconds", "S",
     "with --session_redis: how long another server waits for a session of one "
     "that has died (10)",
     SetSeconds<&Flags::session_lease, 500, 3600>},
    {"session_ttl_seconds", "S",
     "until a session that nobody uses is deleted (86400)",
     SetSeconds<&Flags::session_ttl, 1, 366 * 86400>},
    {"max_queued_requests", "N", "waiting for a slot; more are refused (256)",
     SetNumber<&Flags::max_queued_requests, 1, 1000000>},
    {"target_step_ms", "MS",
     "how long a step is to be: prompts and syncs take what decoding leaves of "
     "it (20)",
     SetMilliseconds<&Flags::target_step>},
    {"max_message_bytes", "N",
     "longest request message; eight of them are buffered at most (16777216)",
     SetNumber<&Flags::max_message_bytes, 1024, 1 << 30>},
    {"max_streams", "N", "calls at once on one connection (1024)",
     SetNumber<&Flags::max_streams, 1, 1000000>},
    {"drain_seconds", "S", "for running requests to end after SIGTERM (30)",
     SetSeconds<&Flags::drain, 0>},
    {"stall_seconds", "S", "without progress until not ready (20)",
     SetSeconds<&Flags::stall, 10>},
    {"log_requests", "", "a log line for each request (true)",
     SetSwitch<&Flags::log_requests>},
    {"help", "", "print this and exit", SetSwitch<&Flags::help>},
    {"version", "", "print the version and exit", SetSwitch<&Flags::version>},
};

const Spec* FindSpec(absl::string_view name) {
  const auto* found =
      std::find_if(std::begin(kSpecs), std::end(kSpecs),
                   [&](const Spec& spec) { return spec.name == name; });
  return found == std::end(kSpecs) ? nullptr : found;
}

// Levenshtein's.
size_t EditDistance(absl::string_view a, absl::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, change});
    }
  }
  return row.back();
}

std::string UnknownFlag(absl::string_view name) {
  name = name.substr(0, 64);
  const auto* nearest = std::min_element(
      std::begin(kSpecs), std::end(kSpecs), [&](const Spec& a, const Spec& b) {
        return EditDistance(name, a.name) < EditDistance(name, b.name);
      });
  if (EditDistance(name, nearest->name) > 3) {
    return absl::StrCat("--", name, ": no such flag; see --help");
  }
  return absl::StrCat("--", name, ": no such flag; did you mean --",
                      nearest->name, "?");
}

// Whether only this machine can reach it. Names are not looked up, not even
// 127.example.com.
bool IsLoopback(absl::string_view address) {
  const absl::string_view host = address.substr(0, address.rfind(':'));
  const bool number = host.find_first_not_of("0123456789.") == host.npos;
  return host == "localhost" || host == "[::1]" || host == "::1" ||
         (number && absl::StartsWith(host, "127."));
}

// What the flags must be together.
void CheckTogether(const Flags& flags, std::vector<std::string>* faults) {
  if (flags.model.empty() && faults->empty()) {
    faults->push_back("--model: a model directory is required; see --help");
  }
  if (!flags.session_dir.empty() && !flags.session_redis.empty()) {
    faults->push_back("--session_dir, --session_redis: want one of them");
  }
  const bool encrypted = !flags.tls.certificate.empty();
  if (encrypted == flags.tls.key.empty()) {
    faults->push_back("--tls_cert, --tls_key: want both or none");
  }
  if (!encrypted && !flags.tls.client_ca.empty()) {
    faults->push_back("--tls_client_ca: wants --tls_cert, too");
  }
  if (!encrypted && flags.metrics_tls) {
    faults->push_back("--metrics_listen: https:// wants --tls_cert, too");
  }
  if (flags.insecure || !faults->empty()) return;
  if (flags.token_file.empty() && flags.tls.client_ca.empty() &&
      !IsLoopback(flags.listen)) {
    faults->push_back(absl::StrCat(
        "--listen=", flags.listen,
        ": others can reach it: want --token_file or --tls_client_ca, or "
        "--insecure to serve whoever calls"));
  }
  if (flags.metrics_password_file.empty() &&
      !IsLoopback(flags.metrics_listen)) {
    faults->push_back(absl::StrCat(
        "--metrics_listen=", flags.metrics_listen,
        ": others can reach it: want --metrics_password_file, or --insecure to "
        "show it to whoever asks"));
  }
}

std::string LastPart(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  const std::string name = std::filesystem::path(path).filename().string();
  // "." and ".." name no model.
  if (!absl::StartsWith(name, ".")) return name;
  std::error_code error;
  return std::filesystem::canonical(path, error).filename().string();
}

}  // namespace

absl::StatusOr<Flags> ParseFlags(absl::Span<const std::string> args) {
  Flags flags;
  std::vector<std::string> faults;
  for (size_t i = 0; i < args.size(); ++i) {
    absl::string_view name = args[i];
    if (!absl::ConsumePrefix(&name, "--")) {
      faults.push_back(
          absl::StrCat("'", args[i], "' is not a flag: flags begin with --"));
      continue;
    }
    const size_t equals = name.find('=');
    const bool has_value = equals != absl::string_view::npos;
    absl::string_view value = has_value ? name.substr(equals + 1) : "";
    name = name.substr(0, equals);
    const Spec* spec = FindSpec(name);
    if (spec == nullptr) {
      faults.push_back(UnknownFlag(name));
      continue;
    }
    if (!has_value && spec->value.empty()) {
      value = "true";
    } else if (!has_value && i + 1 < args.size()) {
      value = args[++i];
    } else if (!has_value) {
      faults.push_back(absl::StrCat("--", name, ": wants ", spec->value));
      continue;
    }
    const std::string want = spec->set(value, &flags);
    if (!want.empty()) {
      faults.push_back(absl::StrCat("--", name, "=", value, ": want ", want));
    }
  }
  if (flags.help || flags.version) return flags;
  CheckTogether(flags, &faults);
  if (!faults.empty()) {
    return absl::InvalidArgumentError(absl::StrJoin(faults, "\n"));
  }
  if (flags.model_name.empty()) flags.model_name = LastPart(flags.model);
  return flags;
}

std::string FlagsHelp() {
  std::string help =
      "tlind --model=DIR [flags]: serves a TLinFormer-family model over "
      "gRPC\n\n";
  for (const Spec& spec : kSpecs) {
    const std::string usage = absl::StrCat(
        "--", spec.name, spec.value.empty() ? "" : "=", spec.value);
    absl::StrAppendFormat(&help, "  %-30s %s\n", usage, spec.help);
  }
  return help;
}

}  // namespace tlin
