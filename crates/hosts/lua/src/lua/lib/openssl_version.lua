-- resty.openssl.version: the interface spoken is OpenSSL 3's.
return { version_num = 0x30000000, version_text = "OpenSSL 3 interface", OPENSSL_3X = true, OPENSSL_11 = false,
  OPENSSL_111 = false, OPENSSL_10 = false, BORINGSSL = false, version = function() return "OpenSSL 3 interface" end }
