//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sandkeep/sandkeep/hack/cluster/internal/layout"
)

// The network of the test. The pods' address is that of the machine when the outside sees them, and the server's is known
// to the outside only: a pod reaches it by default routes or not at all.
const (
	machineAddr = "198.51.100.2"
	routerAddr  = "198.51.100.1"
	serverAddr  = "203.0.113.7"
	serverName  = "server.example"
	// neighbourAddr is on another network of the machine, which is no router between the two.
	neighbourAddr = "198.51.100.6"
)

// TestEgress starts a cluster of its own whose machine is a network namespace, between some that play the networks around it.
// No packet leaves those, and the machine's own firewall and settings are not touched.
func TestEgress(t *testing.T) {
	if testing.Short() || os.Geteuid() != 0 {
		t.Skip("it starts a cluster, which takes root and some minutes")
	}
	w := newWorld(t)
	w.step(t, "a cluster is closed by default", func() {
		w.up(t, "")
		w.kubectl(t, "run", "probe", "--image="+layout.PauseImage, "--overrides="+probeOverrides)
		w.kubectl(t, "wait", "--for=condition=Ready", "pod/probe", "--timeout=60s")
		w.expectClosed(t)
	})
	w.step(t, "opened in place, a running pod gets out by address and by name, and nobody gets in", func() {
		w.up(t, "1")
		w.expectOpen(t)
	})
	w.step(t, "opening again changes nothing, and mends what a firewall's restart removed", func() {
		w.up(t, "1")
		w.machine(t, "nft", "flush", "ruleset")
		if out, err := w.command(w.launcher, "status").CombinedOutput(); err == nil || !strings.Contains(string(out), "EGRESS=1") {
			t.Errorf("status without rules: error %v, output\n%s", err, out)
		}
		w.up(t, "1")
		w.expectOpen(t)
	})
	w.step(t, "closed in place, once the rules of Services lead to the DNS server that says so", func() {
		const held = 15 * time.Second
		began := time.Now()
		w.holdRules(t, held)
		w.up(t, "")
		if took := time.Since(began); took < held {
			t.Errorf("the cluster was up after %s, when rules still led to the DNS server that had ended", took)
		}
		w.expectClosed(t)
	})
	w.step(t, "a machine that drops forwarded packets is told what helps, which does help", func() {
		w.machine(t, "nft", "add table ip site; add chain ip site transit { type filter hook forward priority 10; policy drop; }")
		advice := w.up(t, "1")
		if got := w.fetch(serverAddr); strings.HasPrefix(got, "hello") {
			t.Error("packets are not dropped, so no remedy is needed")
		}
		for _, remedy := range remedies(advice) {
			w.machine(t, strings.Fields(remedy)...)
		}
		w.expectOpen(t)
		if again := w.up(t, "1"); strings.Contains(again, "drops") {
			t.Errorf("the remedy was applied and is asked for again:\n%s", again)
		}
		w.machine(t, "nft", "delete", "table", "ip", "site")
	})
	w.step(t, "down removes everything", func() {
		w.machine(t, w.launcher, "down")
		w.expectUntouched(t)
	})
	w.step(t, "a start with the way out opens it as well", func() {
		w.up(t, "1")
		w.kubectl(t, "run", "probe", "--image="+layout.PauseImage, "--overrides="+probeOverrides)
		w.kubectl(t, "wait", "--for=condition=Ready", "pod/probe", "--timeout=60s")
		w.expectOpen(t)
		w.machine(t, w.launcher, "down")
		w.expectUntouched(t)
	})
}

// probeOverrides give a pod the node's binary: its kubectl is the HTTP client of an image that holds nothing.
const probeOverrides = `{"spec": {
	"volumes": [{"name": "node", "hostPath": {"path": "` + layout.Inside + `/bin/` + layout.NodeProgram + `"}}],
	"containers": [{"name": "probe", "image": "` + layout.PauseImage + `", "volumeMounts": [{"name": "node", "mountPath": "/node"}]}]
}}`

// world is a machine, which is a network namespace and a resolv.conf, with a cluster on it, and the outside network.
type world struct {
	name, dir, launcher string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	ctx := t.Context()
	w := &world{name: fmt.Sprintf("keeptest%d", os.Getpid()), dir: t.TempDir()}
	w.build(t)
	machine, outside, neighbour := w.name+"m", w.name+"o", w.name+"n"
	for _, name := range []string{machine, outside, neighbour} {
		mustRun(t, exec.CommandContext(ctx, "ip", "netns", "add", name))
		t.Cleanup(func() { mustRun(t, exec.Command("ip", "netns", "delete", name)) })
	}
	for _, command := range []string{
		"-n " + machine + " link add uplink type veth peer name downlink netns " + outside,
		"-n " + machine + " link set lo up",
		"-n " + machine + " addr add " + machineAddr + "/30 dev uplink",
		"-n " + machine + " link set uplink up",
		"-n " + machine + " route add default via " + routerAddr,
		"-n " + outside + " link set lo up",
		"-n " + outside + " addr add " + serverAddr + "/32 dev lo",
		"-n " + outside + " addr add " + routerAddr + "/30 dev downlink",
		"-n " + outside + " link set downlink up",
		"-n " + outside + " route add " + neighbourAddr + " via " + machineAddr,
		"-n " + machine + " link add sidelink type veth peer name eth0 netns " + neighbour,
		"-n " + machine + " addr add 198.51.100.5/30 dev sidelink",
		"-n " + machine + " link set sidelink up",
		"-n " + neighbour + " addr add " + neighbourAddr + "/30 dev eth0",
		"-n " + neighbour + " link set eth0 up",
		"-n " + neighbour + " route add default via 198.51.100.5",
	} {
		mustRun(t, exec.CommandContext(ctx, "ip", strings.Fields(command)...))
	}
	w.startOutside(t)
	// Only a cluster that a failed test leaves behind is ended here.
	t.Cleanup(func() { mustRun(t, w.command(w.launcher, "down")) })
	return w
}

// build makes the programs while there is a way to the module proxy; none is left once the world is closed.
func (w *world) build(t *testing.T) {
	t.Helper()
	w.launcher = buildLauncher(t, w.dir)
	resolvConf := []byte("nameserver 127.0.0.53\nnameserver " + serverAddr + "\n")
	if err := os.WriteFile(filepath.Join(w.dir, "resolv.conf"), resolvConf, 0o600); err != nil {
		t.Fatal(err)
	}
}

// programs are made once for all tests, since to link them takes longer than to start a cluster.
var programs struct {
	once   sync.Once
	folder string
	err    error
}

// buildLauncher puts the programs of a cluster into a folder, and the one that starts it.
func buildLauncher(t *testing.T, dir string) (program string) {
	t.Helper()
	programs.once.Do(func() { programs.err = buildPrograms(t.Context(), programs.folder) })
	if programs.err != nil {
		t.Fatal(programs.err)
	}
	mustRun(t, exec.CommandContext(t.Context(), "cp", "--archive", "--link", programs.folder+"/.", dir))
	return filepath.Join(dir, "launcher")
}

func buildPrograms(ctx context.Context, folder string) error {
	source, err := findSource()
	if err != nil {
		return err
	}
	if err := goBuild(ctx, filepath.Join(source, "hack", "cluster"), filepath.Join(folder, "launcher"), ""); err != nil {
		return err
	}
	l := &launcher{dir: layout.Dir(filepath.Join(folder, "cluster")), source: source, progress: newProgress(os.Stderr)}
	return l.buildOnce(ctx)
}

// command runs a program on the machine of this world: in its network, with its resolv.conf, and with all else of ours.
func (w *world) command(program ...string) *exec.Cmd {
	const script = `mount --bind "$0" /etc/resolv.conf && exec "$@"`
	args := append([]string{"--net=/run/netns/" + w.name + "m", "unshare", "--mount", "sh", "-c", script,
		filepath.Join(w.dir, "resolv.conf")}, program...)
	// It ends by itself, and what it cleans up must not be cut short.
	cmd := exec.CommandContext(context.Background(), "nsenter", args...)
	cmd.Env = append(os.Environ(), "CLUSTER_DIR="+filepath.Join(w.dir, "cluster"), "EGRESS=", "CLUSTER=")
	return cmd
}

func (w *world) machine(t *testing.T, program ...string) string {
	t.Helper()
	return mustRun(t, w.command(program...))
}

func (w *world) up(t *testing.T, egress string) string {
	t.Helper()
	cmd := w.command(w.launcher, "up")
	cmd.Env = append(cmd.Env, "EGRESS="+egress)
	out := mustRun(t, cmd)
	t.Logf("EGRESS=%s up:\n%s", egress, out)
	return out
}

// holdRules keeps kube-proxy from doing anything for a time, as a busy machine would.
func (w *world) holdRules(t *testing.T, held time.Duration) {
	t.Helper()
	dir := layout.Dir(filepath.Join(w.dir, "cluster"))
	record, _, err := dir.Record()
	if err != nil {
		t.Fatal(err)
	}
	components, err := dir.Components()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(components, func(c layout.Component) bool { return c.Name == "kube-proxy" })
	signal := func(name string) *exec.Cmd {
		return exec.Command("nsenter", "--target="+strconv.Itoa(record.Process.PID), "--pid", "--", "kill", "-"+name, strconv.Itoa(components[i].PID))
	}
	mustRun(t, signal("STOP"))
	time.AfterFunc(held, func() {
		if err := signal("CONT").Run(); err != nil {
			t.Errorf("kube-proxy does not go on: %v", err)
		}
	})
}

func (w *world) kubectl(t *testing.T, args ...string) {
	t.Helper()
	w.machine(t, w.kubectlLine(args...)...)
}

func (w *world) kubectlLine(args ...string) []string {
	dir := layout.Dir(filepath.Join(w.dir, "cluster"))
	return append([]string{dir.Bin("kubectl"), "--kubeconfig=" + dir.Kubeconfig()}, args...)
}

// fetch asks the outside server from within the pod and returns the answer, or what went wrong.
func (w *world) fetch(host string) string {
	line := w.kubectlLine("exec", "probe", "--", "/node", "kubectl", "--server=http://"+host, "--request-timeout=5s", "get", "--raw=/")
	out, _ := w.command(line...).CombinedOutput() // a failure says so
	return strings.TrimSpace(string(out))
}

func (w *world) expectOpen(t *testing.T) {
	t.Helper()
	const want = "hello " + machineAddr
	for _, host := range []string{serverAddr, serverName} {
		if got := w.fetch(host); got != want {
			t.Errorf("%s answers %q, want %q", host, got, want)
		}
	}
	if status := w.machine(t, w.launcher, "status"); !strings.Contains(status, "Egress is open") ||
		!strings.Contains(status, "["+serverAddr+"]") {
		t.Errorf("status:\n%s", status)
	}
	if got := w.forwarding(t); got != "1" {
		t.Errorf("ip_forward is %s", got)
	}
	w.expectNoWayIn(t)
	w.expectSilence(t, "http://"+neighbourAddr)
}

// expectNoWayIn sends packets for the node to the machine. The node serves its API there.
func (w *world) expectNoWayIn(t *testing.T) {
	t.Helper()
	r, _, err := layout.Dir(filepath.Join(w.dir, "cluster")).Record()
	if err != nil {
		t.Fatal(err)
	}
	mustRun(t, exec.CommandContext(t.Context(), "ip", "-n", w.name+"o", "route", "replace", r.Network.Block().String(), "via", machineAddr))
	defer mustRun(t, exec.CommandContext(t.Context(), "ip", "-n", w.name+"o", "route", "flush", r.Network.Block().String()))
	w.expectSilence(t, r.Network.Server())
}

// expectSilence asks from the outside. A packet that arrived would be answered, if only by a refusal.
func (w *world) expectSilence(t *testing.T, url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	kubectl := layout.Dir(filepath.Join(w.dir, "cluster")).Bin("kubectl")
	out, err := exec.CommandContext(ctx, "ip", "netns", "exec", w.name+"o", kubectl, "--server="+url,
		"--insecure-skip-tls-verify", "--token=none", "get", "--raw=/version").CombinedOutput()
	if ctx.Err() == nil {
		t.Errorf("the outside gets an answer from %s: error %v, output %s", url, err, out)
	}
}

func (w *world) expectClosed(t *testing.T) {
	t.Helper()
	if got := w.fetch(serverAddr); !strings.Contains(got, "unreachable") && !strings.Contains(got, "no route to host") {
		t.Errorf("%s answers %q", serverAddr, got)
	}
	if got := w.fetch(serverName); !strings.Contains(got, "no such host") {
		t.Errorf("%s answers %q", serverName, got)
	}
	if status := w.machine(t, w.launcher, "status"); !strings.Contains(status, "Egress is closed") {
		t.Errorf("status:\n%s", status)
	}
	w.expectUntouched(t)
}

func (w *world) expectUntouched(t *testing.T) {
	t.Helper()
	if got := w.forwarding(t); got != "0" {
		t.Errorf("ip_forward is %s", got)
	}
	if rules := w.machine(t, "nft", "list", "ruleset"); rules != "" {
		t.Errorf("rules are left:\n%s", rules)
	}
}

func (w *world) forwarding(t *testing.T) string {
	t.Helper()
	return strings.TrimSpace(w.machine(t, "cat", "/proc/sys/net/ipv4/ip_forward"))
}

func (w *world) step(t *testing.T, name string, check func()) {
	t.Helper()
	start := time.Now()
	check()
	t.Logf("%s: %s", name, seconds(start))
	if t.Failed() {
		t.FailNow()
	}
}

// remedies are the commands that a message asks to run.
func remedies(message string) []string {
	var commands []string
	for line := range strings.Lines(message) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "nft ") {
			commands = append(commands, line)
		}
	}
	return commands
}

func mustRun(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(cmd.Args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.String()
}
