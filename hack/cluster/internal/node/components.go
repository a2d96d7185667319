package node

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/sandkeep/sandkeep/hack/cluster/internal/layout"
)

// component is a program of the node and how to know that it serves.
type component struct {
	name  string
	argv  []string
	ready func(context.Context) error
}

// stages lists the components in the order in which they need one another; those of one stage start together.
func stages(n layout.Network) [][]component {
	return [][]component{
		{etcd(), containerd()},
		{apiServer(n)},
		{controllerManager(), scheduler(), kubelet(n), proxy(n), provisioner()},
	}
}

const inside = layout.Dir(layout.Inside)

// own is the command line of a program out of the node binary.
func own(program string, args ...string) []string {
	return append([]string{inside.Bin(layout.NodeProgram), program}, args...)
}

func etcd() component {
	const client, peer = "http://127.0.0.1:2379", "http://127.0.0.1:2380"
	return component{"etcd", own("etcd",
		"--data-dir="+inside.State("etcd"),
		"--listen-client-urls="+client, "--advertise-client-urls="+client,
		"--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer, "--initial-cluster=default="+peer,
		"--quota-backend-bytes=8589934592",
		"--unsafe-no-fsync", // the data does not outlive the cluster, and waiting for the disk is most of a write
		"--log-level=warn",
	), healthy(client + "/readyz")}
}

func containerd() component {
	return component{"containerd", []string{"containerd", "--config=" + inside.Config("containerd.toml")}, listening}
}

// listening says whether containerd takes connections. It does so once it has read what it stored.
func listening(ctx context.Context) error {
	c, err := (&net.Dialer{}).DialContext(ctx, "unix", layout.ContainerdSocket)
	if err != nil {
		return err
	}
	return c.Close()
}

func apiServer(n layout.Network) component {
	return component{"kube-apiserver", own("kube-apiserver",
		"--etcd-servers=http://127.0.0.1:2379",
		"--advertise-address="+n.Node().Addr().String(), // pods must reach what the kubernetes Service points at
		"--secure-port=6443",
		"--tls-cert-file="+inside.PKI("kube-apiserver.crt"), "--tls-private-key-file="+inside.PKI("kube-apiserver.key"),
		"--client-ca-file="+inside.PKI("ca.crt"),
		"--kubelet-certificate-authority="+inside.PKI("ca.crt"),
		"--kubelet-client-certificate="+inside.PKI("kubelet-client.crt"),
		"--kubelet-client-key="+inside.PKI("kubelet-client.key"),
		"--kubelet-preferred-address-types=InternalIP", // the node's name is in no DNS
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-signing-key-file="+inside.PKI("tokens.key"),
		"--service-account-key-file="+inside.PKI("tokens.key"),
		"--service-cluster-ip-range="+n.Services().String(),
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--allow-privileged=true",
		"--profiling=false",
		"--max-requests-inflight=800", "--max-mutating-requests-inflight=400",
		// Pods of a lost node are evicted soon, so that tests need not wait for five minutes.
		"--default-not-ready-toleration-seconds=30", "--default-unreachable-toleration-seconds=30",
	), healthy("https://127.0.0.1:6443/readyz")}
}

func controllerManager() component {
	return component{"kube-controller-manager", own("kube-controller-manager",
		"--kubeconfig="+inside.Config("kube-controller-manager.kubeconfig"),
		"--root-ca-file="+inside.PKI("ca.crt"),
		"--service-account-private-key-file="+inside.PKI("tokens.key"),
		"--cluster-signing-cert-file="+inside.PKI("ca.crt"), "--cluster-signing-key-file="+inside.PKI("ca.key"),
		"--use-service-account-credentials=true",
		"--leader-elect=false",
		"--bind-address=127.0.0.1",
		"--profiling=false",
		"--kube-api-qps=200", "--kube-api-burst=400",
		"--node-monitor-period=2s", "--node-monitor-grace-period=20s",
	), healthy("https://127.0.0.1:10257/healthz")}
}

func scheduler() component {
	return component{"kube-scheduler", own("kube-scheduler",
		"--kubeconfig="+inside.Config("kube-scheduler.kubeconfig"),
		"--leader-elect=false",
		"--bind-address=127.0.0.1",
		"--profiling=false",
		"--kube-api-qps=200", "--kube-api-burst=400",
	), healthy("https://127.0.0.1:10259/readyz")}
}

func kubelet(n layout.Network) component {
	return component{"kubelet", own("kubelet",
		"--config="+inside.Config("kubelet.yaml"),
		"--kubeconfig="+inside.Config("kubelet.kubeconfig"),
		"--hostname-override="+layout.NodeName,
		"--node-ip="+n.Node().Addr().String(),
	), healthy("http://127.0.0.1:10248/healthz")}
}

func proxy(n layout.Network) component {
	return component{"kube-proxy", own("kube-proxy",
		"--kubeconfig="+inside.Config("kube-proxy.kubeconfig"),
		"--proxy-mode=nftables",
		"--hostname-override="+layout.NodeName,
		"--cluster-cidr="+n.Pods().String(),
		"--oom-score-adj=0",
		"--healthz-bind-address=127.0.0.1:10256", "--metrics-bind-address=127.0.0.1:10249",
		// These settings belong to the machine, and kube-proxy fails where it may not write them.
		"--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0s", "--conntrack-tcp-timeout-close-wait=0s",
	), healthy("http://127.0.0.1:10256/healthz")}
}

func provisioner() component {
	return component{"provisioner", own("provisioner",
		"--kubeconfig="+inside.Config("provisioner.kubeconfig"),
		"--root="+inside.State("volumes"),
	), func(context.Context) error { return nil }}
}

// healthy asks a component on the loopback address, where a certificate proves nothing.
func healthy(url string) func(context.Context) error {
	client := &http.Client{
		Timeout:   2 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true},
	}
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		if err := resp.Body.Close(); err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s answers %s", url, resp.Status)
		}
		return nil
	}
}

// Stages names the components in the order in which they start; each stage is reported once.
func Stages() [][]string {
	all := stages(layout.Network{})
	names := make([][]string, len(all))
	for i, stage := range all {
		for _, c := range stage {
			names[i] = append(names[i], c.name)
		}
	}
	return names
}
