package node

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"github.com/sandkeep/sandkeep/hack/cluster/internal/layout"
)

var network = layout.Network{Slot: 3, Tag: "cafe"}

func configured(t *testing.T) layout.Dir {
	t.Helper()
	dir := layout.Dir(t.TempDir())
	if err := Configure(dir, network, nil, time.Now()); err != nil {
		t.Fatal(err)
	}
	return dir
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestEveryFileThatAComponentNamesIsWritten(t *testing.T) {
	dir := configured(t)
	for _, stage := range stages(network) {
		for _, c := range stage {
			for _, arg := range c.argv {
				_, value, _ := strings.Cut(arg, "=")
				path, found := strings.CutPrefix(value, layout.Inside)
				if !found || strings.HasPrefix(path, "/state/") {
					continue
				}
				if _, err := os.Stat(filepath.Join(string(dir), path)); err != nil {
					t.Errorf("%s is started with %s: %v", c.name, arg, err)
				}
			}
		}
	}
}

func TestSecretsAreForTheOwnerOnly(t *testing.T) {
	dir := configured(t)
	for _, path := range []string{dir.Kubeconfig(), dir.PKI("ca.key"), dir.PKI("tokens.key"), dir.Config("kubelet.kubeconfig")} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %s", path, info.Mode())
		}
	}
}

func TestKubeconfigIsUnderstoodByClients(t *testing.T) {
	config, err := clientcmd.BuildConfigFromFlags("", configured(t).Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != network.Server() {
		t.Errorf("it leads to %s, want %s", config.Host, network.Server())
	}
	if len(config.CAData) == 0 || len(config.CertData) == 0 || len(config.KeyData) == 0 {
		t.Error("it lacks certificates or the key")
	}
}

func TestNetworkIsTheSameInEveryConfiguration(t *testing.T) {
	dir := configured(t)
	var cni struct {
		Plugins []struct {
			Type string
			IPAM struct {
				Ranges [][]struct{ Subnet string }
			}
		}
	}
	if err := json.Unmarshal([]byte(read(t, dir.Config("cni/10-pods.conflist"))), &cni); err != nil {
		t.Fatal(err)
	}
	if got, want := cni.Plugins[0].IPAM.Ranges[0][0].Subnet, network.Pods().String(); got != want {
		t.Errorf("pods get addresses in %s, want %s", got, want)
	}
	dns := network.DNSService().String()
	if !strings.Contains(read(t, dir.Config("kubelet.yaml")), `clusterDNS: ["`+dns+`"]`) {
		t.Errorf("kubelet does not tell pods to ask %s", dns)
	}
	if !strings.Contains(read(t, dir.Config("addons.yaml")), "clusterIP: "+dns+"\n") {
		t.Errorf("the DNS Service is not at %s", dns)
	}
}

func TestDNSServerCarriesItsConfiguration(t *testing.T) {
	dir := configured(t)
	egress := &layout.Egress{Resolvers: []netip.Addr{netip.MustParseAddr("192.0.2.53")}}
	for range 2 { // a cluster that is up may change its way out
		want, err := render("Corefile", egress)
		if err != nil {
			t.Fatal(err)
		}
		if err := ConfigureAddons(dir, network, egress); err != nil {
			t.Fatal(err)
		}
		var deployment appsv1.Deployment
		for document := range strings.SplitSeq(read(t, dir.Config("addons.yaml")), "\n---\n") {
			if strings.Contains(document, "kind: Deployment") {
				if err := yaml.UnmarshalStrict([]byte(document), &deployment); err != nil {
					t.Fatal(err)
				}
			}
		}
		if diff := cmp.Diff(string(want), deployment.Spec.Template.Annotations["cluster.sandkeep.dev/corefile"]); diff != "" {
			t.Errorf("Corefile in the pod template (-want +got):\n%s", diff)
		}
		egress = nil
	}
}

func TestStages(t *testing.T) {
	want := [][]string{
		{"etcd", "containerd"},
		{"kube-apiserver"},
		{"kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "provisioner"},
	}
	if diff := cmp.Diff(want, Stages()); diff != "" {
		t.Errorf("stages (-want +got):\n%s", diff)
	}
}
