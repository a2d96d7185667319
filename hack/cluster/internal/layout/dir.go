// Package layout names the files, addresses and processes of a local cluster.
package layout

import "path/filepath"

const (
	// KubernetesVersion is what the API server reports; node/go.mod pins the same version.
	KubernetesVersion = "v1.37.2"
	// NodeName is the name of the only node.
	NodeName = "node-1"
	// NodeProgram is every program of the node in one. It is not called "node", as people put its folder first in PATH.
	NodeProgram = "localnode"
	// PauseImage holds the sandbox of every pod. It is made here, since nothing can be pulled.
	PauseImage = "cluster.local/pause:1"
	// Inside is where the node sees the directory of the cluster, wherever the checkout is. It keeps the paths of sockets
	// short, and paths in configurations the same for everyone.
	Inside = "/run/cluster"
	// ContainerdSocket is the address of containerd as the node sees it.
	ContainerdSocket = "/run/containerd/containerd.sock"
)

// Dir is the directory that holds everything of one cluster.
type Dir string

func (d Dir) join(elem ...string) string {
	return filepath.Join(append([]string{string(d)}, elem...)...)
}

// Kubeconfig gives administrators access from outside the node.
func (d Dir) Kubeconfig() string { return d.join("kubeconfig") }

// Bin holds programs: the launcher, the node binary and its names.
func (d Dir) Bin(name string) string { return d.join("bin", name) }

// Logs holds the logs of the components.
func (d Dir) Logs() string { return d.join("logs") }

// Log is the log of one component.
func (d Dir) Log(component string) string { return d.join("logs", component+".log") }

// PKI holds certificates and keys, new ones for every start.
func (d Dir) PKI(name string) string { return d.join("pki", name) }

// Config holds the rendered configuration of the components.
func (d Dir) Config(name string) string { return d.join("config", name) }

// State holds what ends with the cluster: etcd, volumes, the files of pods.
func (d Dir) State(name string) string { return d.join("state", name) }

// Containerd outlives the cluster, so that images need not be loaded again.
func (d Dir) Containerd() string { return d.join("containerd") }

// Lock is held by the command that changes the cluster.
func (d Dir) Lock() string { return d.join("lock") }

// Ephemeral lists what a stopped cluster leaves no use for.
func (d Dir) Ephemeral() []string {
	return []string{d.Kubeconfig(), d.join("pki"), d.join("config"), d.join("state"), d.record(), d.components()}
}

func (d Dir) record() string     { return d.join("cluster.json") }
func (d Dir) components() string { return d.join("components.json") }
