package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/sandkeep/sandkeep/hack/bench/gateway/apiserver"
	"github.com/sandkeep/sandkeep/hack/bench/program"
	"github.com/sandkeep/sandkeep/internal/contract"
)

const (
	glance    = 100 * time.Millisecond
	readyTime = time.Minute
)

// front is one way to the provider.
type front struct {
	*program.Child
	name string
	// url is where requests for messages go.
	url string
}

// startSurroundings starts what the gateway needs.
func (b *bench) startSurroundings(ctx context.Context, _ io.Writer) error {
	host, err := outside()
	if err != nil {
		return err
	}
	if b.identity, err = newIdentity("127.0.0.1", host); err != nil {
		return err
	}
	if b.provider, err = startProvider(ctx, host, b.identity); err != nil {
		return err
	}
	b.Undo("Stop the provider", func(context.Context, io.Writer) error { return b.provider.server.Close() })
	s := scheme()
	if b.api, err = apiserver.Start(ctx, s); err != nil {
		return err
	}
	b.Undo("Stop the API server", func(context.Context, io.Writer) error { return b.api.Close() })
	objects, p, err := b.surroundings(s)
	if err != nil {
		return err
	}
	if err := b.api.Put(objects...); err != nil {
		return err
	}
	for i := range b.sandboxes() {
		session, pod := aSandbox(i, p)
		if err := b.api.Put(session, pod); err != nil {
			return err
		}
		token := newToken()
		b.api.Bind(token, pod)
		b.agents = append(b.agents, newAgent(token, addressOf(i), b.identity.pool()))
	}
	return nil
}

// startFronts starts both ways to the provider, and makes requests through them.
func (b *bench) startFronts(ctx context.Context, detail io.Writer) error {
	kubeconfig, certificate := filepath.Join(b.Scratch, "kubeconfig"), filepath.Join(b.Scratch, "identity.pem")
	config := clientcmdapi.NewConfig()
	config.Clusters["bench"] = &clientcmdapi.Cluster{Server: b.api.URL()}
	config.Contexts["bench"] = &clientcmdapi.Context{Cluster: "bench"}
	config.CurrentContext = "bench"
	both := slices.Concat(b.identity.certificate, b.identity.key)
	if err := errors.Join(clientcmd.WriteToFile(*config, kubeconfig), os.WriteFile(certificate, both, 0o600)); err != nil {
		return err
	}
	var err error
	to := fmt.Sprintf("https://%s", net.JoinHostPort(b.provider.host, fmt.Sprint(b.provider.port)))
	b.gateway, err = b.startFront(ctx, "gateway", contract.GatewayProviders+providerName, []string{"POD_NAME=bench", "POD_UID=uid-of-bench"},
		"--kubeconfig", kubeconfig, "--metrics-bind-address=0", "--health-probe-bind-address=0")
	if err != nil {
		return err
	}
	if b.bare, err = b.startFront(ctx, "bare", "", nil, "-certificate", certificate, "-to", to, "-key", bareKey); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(detail, "the gateway's log is %s\n", b.gateway.LogName())
	return b.warmUp(ctx)
}

// startFront starts a program at a port that is free.
func (b *bench) startFront(ctx context.Context, name, prefix string, env []string, args ...string) (*front, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		return nil, err
	}
	process, err := b.Start(name, env, append(args, "--bind-address", address)...)
	if err != nil {
		return nil, err
	}
	b.Undo("Stop "+name, func(context.Context, io.Writer) error { process.Stop(); return nil })
	return &front{process, name, "https://" + address + prefix + "/v1/messages"}, nil
}

// warmUp waits for both, and then looks at how the gateway is when nobody is connected.
func (b *bench) warmUp(ctx context.Context) error {
	for _, f := range []*front{b.gateway, b.bare} {
		var last error
		err := wait.PollUntilContextTimeout(ctx, glance, readyTime, true, func(ctx context.Context) (bool, error) {
			_, last = b.agents[0].ask(ctx, f.url)
			return last == nil, nil
		})
		if err != nil {
			return errors.Join(err, last, errors.New(f.LastWords()))
		}
	}
	b.disconnect()
	if err := sleep(ctx, time.Second); err != nil { // connections end in their own time
		return err
	}
	l, err := b.gateway.Look(ctx)
	b.idle = l.Goroutines
	return err
}

// disconnect ends all connections to and from both.
func (b *bench) disconnect() {
	for _, a := range b.agents {
		a.transport.CloseIdleConnections()
	}
	b.provider.disconnect()
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
