package meter

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Gate is a way to an API server that counts who goes through. It listens on this machine only, below a path that nobody can
// guess, since it hands on the rights of whoever opened it. (A token would not do: client-go sends none without TLS.)
type Gate struct {
	*Meter
	url    string
	server *http.Server
}

// Open makes a gate to the API server of config; it writes what goes wrong to complaints.
func Open(ctx context.Context, config *rest.Config, complaints io.Writer) (*Gate, error) {
	target, _, err := rest.DefaultServerUrlFor(config)
	if err != nil {
		return nil, fmt.Errorf("find the API server: %w", err)
	}
	transport, err := rest.TransportFor(config)
	if err != nil {
		return nil, fmt.Errorf("make a way to the API server: %w", err)
	}
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the program to be measured: %w", err)
	}
	secret := "/" + rand.Text()
	g := &Gate{Meter: New(transport, target.Path), url: "http://" + listener.Addr().String() + secret}
	errorLog := log.New(complaints, "", log.LstdFlags)
	handler := http.StripPrefix(secret, g.proxy(target, errorLog))
	g.server = &http.Server{Handler: handler, ErrorLog: errorLog, ReadHeaderTimeout: time.Minute}
	go func() {
		if err := g.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			errorLog.Print(err)
		}
	}()
	return g, nil
}

func (g *Gate) proxy(target *url.URL, errorLog *log.Logger) http.Handler {
	return &httputil.ReverseProxy{
		Transport: g.Meter,
		ErrorLog:  errorLog,
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
	}
}

// WriteKubeconfig writes a file that leads through the gate.
func (g *Gate) WriteKubeconfig(path string) error {
	const name = "gate"
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: g.url}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name}
	config.CurrentContext = name
	return clientcmd.WriteToFile(*config, path)
}

// Close closes the gate, and cuts off who is still going through.
func (g *Gate) Close() error { return g.server.Close() }
