#include "server/tls.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "engine/base/status_macros.h"
#include "grpcpp/security/tls_certificate_provider.h"
#include "grpcpp/security/tls_credentials_options.h"
#include "server/read_small_file.h"

namespace tlin {
namespace {

constexpr int64_t kMaxPemBytes = 1 << 20;
constexpr unsigned kRefreshSeconds = 1;

struct FreeWithOpenSsl {
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using Bio = std::unique_ptr<BIO, FreeWithOpenSsl>;
using Certificate = std::unique_ptr<X509, FreeWithOpenSsl>;
using Key = std::unique_ptr<EVP_PKEY, FreeWithOpenSsl>;

absl::Status About(absl::string_view flag, const std::string& path,
                   absl::string_view what) {
  return absl::InvalidArgumentError(
      absl::StrCat("--", flag, "=", path, ": ", what));
}

// The file in a BIO of OpenSSL's.
absl::StatusOr<Bio> OpenPem(absl::string_view flag, const std::string& path) {
  absl::StatusOr<std::string> text = ReadSmallFile(path, kMaxPemBytes);
  if (!text.ok()) {
    return absl::Status(
        text.status().code(),
        absl::StrCat("--", flag, ": ", text.status().message()));
  }
  Bio bio(BIO_new(BIO_s_mem()));
  BIO_write(bio.get(), text->data(), static_cast<int>(text->size()));
  return bio;
}

absl::StatusOr<Certificate> ReadCertificate(absl::string_view flag,
                                            const std::string& path) {
  TLIN_ASSIGN_OR_RETURN(const Bio bio, OpenPem(flag, path));
  Certificate certificate(
      PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  if (certificate == nullptr) {
    return About(flag, path, "there is no certificate (PEM) in it");
  }
  return certificate;
}

// Without a pass phrase: nobody is there to type it.
int NoPassPhrase(char*, int, int, void*) { return -1; }

absl::StatusOr<Key> ReadKey(absl::string_view flag, const std::string& path) {
  TLIN_ASSIGN_OR_RETURN(const Bio bio, OpenPem(flag, path));
  Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, NoPassPhrase, nullptr));
  if (key == nullptr) {
    return About(flag, path,
                 "there is no private key (PEM, without a pass phrase) in it");
  }
  return key;
}

}  // namespace

absl::Status CheckTlsFiles(const TlsFiles& files) {
  if (files.certificate.empty()) return absl::OkStatus();
  TLIN_ASSIGN_OR_RETURN(const Certificate certificate,
                        ReadCertificate("tls_cert", files.certificate));
  TLIN_ASSIGN_OR_RETURN(const Key key, ReadKey("tls_key", files.key));
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    return About(
        "tls_key", files.key,
        absl::StrCat("is not the key of --tls_cert=", files.certificate));
  }
  if (files.client_ca.empty()) return absl::OkStatus();
  return ReadCertificate("tls_client_ca", files.client_ca).status();
}

std::shared_ptr<grpc::ServerCredentials> MakeServerCredentials(
    const TlsFiles& files) {
  if (files.certificate.empty()) return grpc::InsecureServerCredentials();
  namespace tls = grpc::experimental;
  auto provider = std::make_shared<tls::FileWatcherCertificateProvider>(
      files.key, files.certificate, files.client_ca, kRefreshSeconds);
  tls::TlsServerCredentialsOptions options(provider);
  options.watch_identity_key_cert_pairs();
  if (!files.client_ca.empty()) {
    options.watch_root_certs();
    options.set_cert_request_type(
        GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  }
  return tls::TlsServerCredentials(options);
}

}  // namespace tlin
