package door

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandkeep/sandkeep/internal/contract"
)

// Times of the way to the gateway. There is none for a whole request: a model may stream for hours. What they are for is that a gateway
// that has vanished without a word is noticed.
const (
	dialTime      = 10 * time.Second
	handshakeTime = 10 * time.Second
	// headerTime is longer than any client waits for an answer that is not streamed.
	headerTime = 30 * time.Minute
	idleTime   = 90 * time.Second
	// probeAfter is how long a connection may say nothing before the kernel asks whether the other side is still there, every probeEvery until vanishTime.
	// A gateway that acknowledges nothing for vanishTime ends it as well (TCP_USER_TIMEOUT, tcp(7)), without which a request would hang for a quarter of an hour;
	// so does one that is there and takes nothing in, as when its provider does not.
	probeAfter = 20 * time.Second
	probeEvery = 5 * time.Second
	vanishTime = time.Minute

	maxIdle = 32
)

// dialling is the gateway's address and the way there. The gateway is whoever the bundle vouches for by the name in the address.
func dialling(g contract.Gateway) (*url.URL, *http.Transport, error) {
	base, err := url.Parse(g.URL)
	switch {
	case err != nil:
		return nil, nil, errorf("its address cannot be understood: %w", err)
	case base.Scheme != "https" || base.Host == "" || base.Path != "" || base.RawQuery != "" || base.User != nil:
		return nil, nil, errorf("its address %q is not https://<host>", base.Redacted())
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(g.CABundle)) {
		return nil, nil, errorf("its CA bundle holds no certificate")
	}
	dialer := &net.Dialer{
		Timeout: dialTime, Control: noticeVanishing,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: probeAfter, Interval: probeEvery, Count: int((vanishTime - probeAfter) / probeEvery)},
	}
	// A request has a connection for itself, and another after it: by HTTP/2 the gateway would need half as much memory again for a stream, and one connection
	// that stalls would hold up all requests of the sandbox.
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return base, &http.Transport{
		Proxy:                 nil, // a proxy of the image would see the token
		DialContext:           dialer.DialContext,
		TLSClientConfig:       &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13},
		TLSHandshakeTimeout:   handshakeTime,
		DisableCompression:    true, // bodies are passed on as they are
		Protocols:             protocols,
		MaxIdleConns:          maxIdle,
		MaxIdleConnsPerHost:   maxIdle,
		IdleConnTimeout:       idleTime,
		ResponseHeaderTimeout: headerTime,
		ExpectContinueTimeout: time.Second,
	}, nil
}

// noticeVanishing has the kernel end a connection whose other side has vanished.
func noticeVanishing(_, _ string, raw syscall.RawConn) error {
	var failed error
	err := raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(vanishTime.Milliseconds()))
	})
	return errors.Join(err, failed)
}
