// Package node is the single node of a local cluster: its configuration, its namespaces and its programs.
package node

import (
	"bytes"
	"embed"
	"encoding/base64"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"text/template"
	"time"

	"github.com/sandkeep/sandkeep/hack/cluster/internal/layout"
	"github.com/sandkeep/sandkeep/hack/cluster/internal/pki"
)

//go:embed templates
var files embed.FS

var templates = template.Must(template.ParseFS(files, "templates/*"))

// settings is what the templates are rendered with.
type settings struct {
	Network          layout.Network
	Snapshotter      string
	Inside           layout.Dir
	ContainerdSocket string
	PauseImage       string
	Corefile         string
}

func render(name string, data any) ([]byte, error) {
	var buf bytes.Buffer
	if err := templates.ExecuteTemplate(&buf, name, data); err != nil {
		return nil, fmt.Errorf("render %s: %w", name, err)
	}
	return buf.Bytes(), nil
}

// Configure writes certificates, kubeconfigs and the configuration of every component for a new start.
func Configure(dir layout.Dir, n layout.Network, egress *layout.Egress, now time.Time) error {
	if err := writeCredentials(dir, n, now); err != nil {
		return err
	}
	if err := ConfigureAddons(dir, n, egress); err != nil {
		return err
	}
	return writeRendered(dir, settingsOf(dir, n), map[string]string{
		"containerd.toml": "containerd.toml", "kubelet.yaml": "kubelet.yaml", "cni.conflist": "cni/10-pods.conflist",
	})
}

// ConfigureAddons writes what is applied to the API server, which may change while the cluster is up.
func ConfigureAddons(dir layout.Dir, n layout.Network, egress *layout.Egress) error {
	corefile, err := render("Corefile", egress)
	if err != nil {
		return err
	}
	s := settingsOf(dir, n)
	s.Corefile = string(corefile)
	return writeRendered(dir, s, map[string]string{"addons.yaml": "addons.yaml"})
}

func settingsOf(dir layout.Dir, n layout.Network) settings {
	return settings{
		Network: n, Snapshotter: snapshotter(dir), Inside: layout.Inside,
		ContainerdSocket: layout.ContainerdSocket, PauseImage: layout.PauseImage,
	}
}

// writeRendered maps the names of templates to those of configuration files.
func writeRendered(dir layout.Dir, s settings, names map[string]string) error {
	for name, file := range names {
		content, err := render(name, s)
		if err != nil {
			return err
		}
		if err := write(dir.Config(file), content); err != nil {
			return err
		}
	}
	return nil
}

// users maps each kubeconfig to the user it makes its holder, with groups.
func users() map[string][]string {
	return map[string][]string{
		"admin":                   {"admin", "system:masters"},
		"kube-controller-manager": {"system:kube-controller-manager"},
		"kube-scheduler":          {"system:kube-scheduler"},
		"kube-proxy":              {"system:kube-proxy"},
		"kubelet":                 {"system:node:" + layout.NodeName, "system:nodes"},
		"provisioner":             {"system:volume-provisioner"},
	}
}

func writeCredentials(dir layout.Dir, n layout.Network, now time.Time) error {
	ca, err := pki.NewAuthority(now)
	if err != nil {
		return err
	}
	if err := writePair(dir, "ca", ca.Pair, nil); err != nil {
		return err
	}
	if err := writeServers(dir, ca, n); err != nil {
		return err
	}
	for name, user := range users() {
		if err := writeKubeconfig(dir, ca, n, name, user); err != nil {
			return err
		}
	}
	key, err := pki.TokenKey()
	if err != nil {
		return err
	}
	return write(dir.PKI("tokens.key"), key)
}

func writeServers(dir layout.Dir, ca *pki.Authority, n layout.Network) error {
	names := []string{
		"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
	}
	node, loopback := n.Node().Addr(), netip.AddrFrom4([4]byte{127, 0, 0, 1})
	api, err := ca.Server("kube-apiserver", names, node, n.APIService(), loopback)
	if err := writePair(dir, "kube-apiserver", api, err); err != nil {
		return err
	}
	kubelet, err := ca.Server(layout.NodeName, []string{layout.NodeName}, node)
	if err := writePair(dir, "kubelet-server", kubelet, err); err != nil {
		return err
	}
	client, err := ca.Client("kube-apiserver-kubelet-client", "system:masters")
	return writePair(dir, "kubelet-client", client, err)
}

func writeKubeconfig(dir layout.Dir, ca *pki.Authority, n layout.Network, name string, user []string) error {
	pair, err := ca.Client(user[0], user[1:]...)
	if err != nil {
		return err
	}
	text := base64.StdEncoding.EncodeToString
	content, err := render("kubeconfig.yaml", map[string]string{
		"Server": n.Server(), "User": user[0], "CA": text(ca.Cert), "Cert": text(pair.Cert), "Key": text(pair.Key),
	})
	if err != nil {
		return err
	}
	path := dir.Config(name + ".kubeconfig")
	if name == "admin" {
		path = dir.Kubeconfig()
	}
	return write(path, content)
}

// writePair takes the error of the call that made the pair, so that making and writing is one step for callers.
func writePair(dir layout.Dir, name string, p pki.Pair, err error) error {
	if err != nil {
		return err
	}
	if err := write(dir.PKI(name+".crt"), p.Cert); err != nil {
		return err
	}
	return write(dir.PKI(name+".key"), p.Key)
}

// write makes a file that only its owner reads: most of what is written here is secret.
func write(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o600)
}
