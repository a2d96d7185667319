//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/sandkeep/sandkeep/hack/cluster/internal/archive"
	"github.com/sandkeep/sandkeep/hack/cluster/internal/layout"
)

// furnish adds to the running components what pods need: the pause image, DNS and storage.
func (l *launcher) furnish(ctx context.Context) error {
	if err := l.progress.step("Installing DNS and storage", func() error { return l.addons(ctx) }); err != nil {
		return err
	}
	err := l.progress.step("Waiting for the node and DNS", func() error {
		if err := l.kubectl(ctx, "wait", "--for=condition=Ready", "node/"+layout.NodeName, "--timeout=120s"); err != nil {
			return l.withLog("kubelet", err)
		}
		return l.dnsServes(ctx)
	})
	if err != nil {
		return err
	}
	return l.markComplete()
}

// dnsServes waits until pods can rely on the DNS server that was applied, and on no earlier one.
func (l *launcher) dnsServes(ctx context.Context) error {
	record, _, err := l.dir.Record()
	if err != nil {
		return err
	}
	if err := l.kubectl(ctx, "--namespace=kube-system", "rollout", "status", "deployment/coredns", "--timeout=120s"); err != nil {
		return err
	}
	n := record.Network
	if err := awaitDNS(ctx, netip.AddrPortFrom(n.DNSService(), dnsPort), n.APIService(), dnsPatience); err != nil {
		return l.withLog("kube-proxy", err)
	}
	return nil
}

func (l *launcher) markComplete() error {
	record, _, err := l.dir.Record()
	if err != nil {
		return err
	}
	record.Complete = true
	return l.dir.SaveRecord(record)
}

func (l *launcher) addons(ctx context.Context) error {
	pause, err := os.ReadFile(l.dir.Bin("pause"))
	if err != nil {
		return err
	}
	var image bytes.Buffer
	if err := archive.Program(&image, layout.PauseImage, "pause", pause); err != nil {
		return fmt.Errorf("make the pause image: %w", err)
	}
	if err := l.importImages(ctx, &image); err != nil {
		return err
	}
	return l.kubectl(ctx, "apply", "--server-side", "--filename="+l.dir.Config("addons.yaml"))
}

// load makes the images of docker archives known to containerd.
func (l *launcher) load(ctx context.Context, archives []string) error {
	if l.existing {
		return fmt.Errorf("%s; push images to a registry that it can pull from", existingNotice)
	}
	_, alive, err := l.running()
	if err != nil {
		return err
	}
	if !alive {
		return errNotUp
	}
	for _, path := range archives {
		if err := l.progress.step("Loading "+path, func() error { return l.loadFile(ctx, path) }); err != nil {
			return err
		}
	}
	return nil
}

func (l *launcher) loadFile(ctx context.Context, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	return l.importImages(ctx, f)
}

// importImages runs ctr inside the node, where containerd's socket is, and hands it the archive as its input.
func (l *launcher) importImages(ctx context.Context, archive io.Reader) error {
	record, _, err := l.running()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "nsenter", "--target="+strconv.Itoa(record.Process.PID), "--mount", "--",
		"ctr", "--address="+layout.ContainerdSocket, "--namespace=k8s.io", "images", "import", "-")
	cmd.Stdin = archive
	return runQuietly(cmd)
}

func (l *launcher) kubectl(ctx context.Context, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	return runQuietly(exec.CommandContext(ctx, l.dir.Bin("kubectl"), append([]string{"--kubeconfig=" + l.dir.Kubeconfig()}, args...)...))
}
