package dial

import "crypto/x509"

// Authorities are the certificates of a caBundle, in PEM, which sign a provider's own. ok is false when there is none that can be read.
func Authorities(caBundle string) (pool *x509.CertPool, ok bool) {
	pool = x509.NewCertPool()
	return pool, pool.AppendCertsFromPEM([]byte(caBundle))
}
