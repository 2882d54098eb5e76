#include "client/connection_flags.h"

#include <fstream>
#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace tlin::client {
namespace {

// Whether what is sent stays on this machine. 127.example.com does not.
bool IsLoopback(absl::string_view address) {
  const absl::string_view host = address.substr(0, address.rfind(':'));
  const bool number = host.find_first_not_of("0123456789.") == host.npos;
  return host == "localhost" || host == "[::1]" ||
         (number && absl::StartsWith(host, "127.")) ||
         absl::StartsWith(address, "unix:");
}

absl::Status ReadFile(absl::string_view flag, const std::string& path,
                      std::string* text) {
  if (path.empty()) return absl::OkStatus();
  std::ifstream file(path, std::ios::binary);
  text->assign(std::istreambuf_iterator<char>(file), {});
  if (file && !text->empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag, "=", path, ": cannot be read, or is empty"));
}

}  // namespace

void ConnectionFlags::AddTo(FlagSet* flags) {
  Add(flags, "Where tlind listens: host:port.");
}

void ConnectionFlags::AddOptionalTo(FlagSet* flags, absl::string_view help) {
  connection_.address.clear();
  Add(flags, help);
}

void ConnectionFlags::Add(FlagSet* flags, absl::string_view address_help) {
  flags->Add("address", &connection_.address, address_help);
  flags->Add("tls", &connection_.tls,
             "Encrypt; any of the next four asks for it, too.");
  flags->Add("tls_ca", &ca_,
             "A file of certificates (PEM), one of which has signed the "
             "server's; default: whom this machine trusts.");
  flags->Add("tls_cert", &cert_, "The client's certificate, a file (PEM).");
  flags->Add("tls_key", &key_, "Its private key, a file (PEM).");
  flags->Add("tls_server_name", &connection_.server_name,
             "Expected in the server's certificate, instead of the address.");
  flags->Add("token_file", &token_file_,
             "A file that holds the bearer token to be sent.");
  flags->Add("insecure", &insecure_,
             "Send the token to another machine without encryption.");
  flags->AddCheck([this] { return Read(); });
}

absl::Status ConnectionFlags::Read() {
  if (cert_.empty() != key_.empty()) {
    return absl::InvalidArgumentError("--tls_cert, --tls_key: want both");
  }
  if (!ca_.empty() || !cert_.empty() || !connection_.server_name.empty()) {
    connection_.tls = true;
  }
  absl::Status status = ReadFile("tls_ca", ca_, &connection_.root_certificates);
  status.Update(ReadFile("tls_cert", cert_, &connection_.certificate));
  status.Update(ReadFile("tls_key", key_, &connection_.key));
  status.Update(ReadFile("token_file", token_file_, &connection_.token));
  if (!status.ok()) return status;
  absl::StripAsciiWhitespace(&connection_.token);
  for (const char c : connection_.token) {
    if (absl::ascii_isgraph(static_cast<unsigned char>(c))) continue;
    return absl::InvalidArgumentError(absl::StrCat(
        "--token_file=", token_file_, ": want one token of visible ASCII"));
  }
  if (!connection_.token.empty() && !connection_.tls && !insecure_ &&
      !IsLoopback(connection_.address)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--token_file: would be sent to ", connection_.address,
                     " for all to read: want --tls, or --insecure"));
  }
  return absl::OkStatus();
}

}  // namespace tlin::client
