#include "server/secret_file.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <algorithm>
#include <utility>

#include "absl/memory/memory.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "engine/base/status_macros.h"
#include "server/plain_name.h"
#include "server/read_small_file.h"

namespace tlin {
namespace {

constexpr int64_t kMaxSecretBytes = 1 << 20;
constexpr size_t kMaxNameBytes = 64;
constexpr absl::Duration kBetweenLooks = absl::Seconds(1);

SecretDigest DigestOf(absl::string_view secret) {
  SecretDigest digest;
  SHA256(reinterpret_cast<const unsigned char*>(secret.data()), secret.size(),
         digest.data());
  return digest;
}

bool Equal(const SecretDigest& a, const SecretDigest& b) {
  return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

bool IsSecret(absl::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isgraph(static_cast<unsigned char>(c));
  });
}

}  // namespace

absl::StatusOr<std::vector<NamedSecret>> ParseSecrets(absl::string_view text) {
  std::vector<NamedSecret> secrets;
  int number = 0;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    ++number;
    line = absl::StripAsciiWhitespace(line);
    if (line.empty() || line[0] == '#') continue;
    const std::vector<absl::string_view> words =
        absl::StrSplit(line, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    if (words.size() != 2 || !IsPlainName(words[0], kMaxNameBytes) ||
        !IsSecret(words[1])) {
      return absl::InvalidArgumentError(absl::StrCat(
          "line ", number,
          ": want NAME SECRET: a name of 1 to 64 of A-Z a-z 0-9 . _ -, no dot "
          "first, and a secret of visible ASCII"));
    }
    secrets.push_back({std::string(words[0]), DigestOf(words[1])});
  }
  if (secrets.empty()) {
    return absl::InvalidArgumentError("no line NAME SECRET in it");
  }
  return secrets;
}

absl::StatusOr<std::unique_ptr<SecretFile>> SecretFile::Open(
    const std::string& path, Clock* clock, Logger* logger) {
  auto file = absl::WrapUnique(new SecretFile(path, clock, logger));
  absl::MutexLock lock(&file->mutex_);
  file->stamp_.Changed();
  file->looked_ = clock->Now();
  TLIN_RETURN_IF_ERROR(file->Read());
  return file;
}

absl::Status SecretFile::Read() {
  TLIN_ASSIGN_OR_RETURN(const std::string text,
                        ReadSmallFile(path_, kMaxSecretBytes));
  absl::StatusOr<std::vector<NamedSecret>> secrets = ParseSecrets(text);
  if (!secrets.ok()) {
    return absl::Status(secrets.status().code(),
                        absl::StrCat(path_, ": ", secrets.status().message()));
  }
  secrets_ = *std::move(secrets);
  return absl::OkStatus();
}

void SecretFile::ReadWhereChanged() {
  const absl::Time now = clock_->Now();
  if (now - looked_ < kBetweenLooks) return;
  looked_ = now;
  if (!stamp_.Changed()) return;
  const absl::Status status = Read();
  if (status.ok()) {
    logger_->Log(
        Severity::kInfo, "credentials read again",
        {{"file", path_}, {"secrets", static_cast<int64_t>(secrets_.size())}});
  } else {
    logger_->Log(Severity::kError, "credentials not read again: the old hold",
                 {{"why", absl::string_view(status.message())}});
  }
}

std::optional<std::string> SecretFile::NameOf(absl::string_view secret) {
  const SecretDigest digest = DigestOf(secret);
  absl::MutexLock lock(&mutex_);
  ReadWhereChanged();
  const NamedSecret* found = nullptr;
  for (const NamedSecret& known : secrets_) {
    if (Equal(known.digest, digest)) found = &known;
  }
  if (found == nullptr) return std::nullopt;
  return found->name;
}

bool SecretFile::Has(absl::string_view name, absl::string_view secret) {
  const SecretDigest digest = DigestOf(secret);
  absl::MutexLock lock(&mutex_);
  ReadWhereChanged();
  bool found = false;
  for (const NamedSecret& known : secrets_) {
    const bool equal = Equal(known.digest, digest);
    if (known.name == name && equal) found = true;
  }
  return found;
}

}  // namespace tlin
