package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestReference(t *testing.T) {
	const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	for name, tc := range map[string]struct {
		settings settings
		want     string
	}{
		"the content gives the tag": {
			settings{registry: "ghcr.io/sandkeep"}, "ghcr.io/sandkeep/opencode:dev-0123456789ab",
		},
		"a version gives the tag": {
			settings{registry: "ghcr.io/sandkeep", version: "v0.1.0"}, "ghcr.io/sandkeep/opencode:v0.1.0",
		},
		"another registry": {
			settings{registry: "registry.example.com:5000/team"}, "registry.example.com:5000/team/opencode:dev-0123456789ab",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.settings.reference("opencode", digest); got != tc.want {
				t.Errorf("reference = %q, want %q", got, tc.want)
			}
		})
	}
}

func TestSettingsFrom(t *testing.T) {
	root := checkout(t)
	for name, tc := range map[string]struct {
		env  map[string]string
		want settings
	}{
		"nothing set": {
			nil, settings{root: root, registry: "ghcr.io/sandkeep", cluster: filepath.Join(root, ".cluster")},
		},
		"all set": {
			map[string]string{"REGISTRY": "registry.example.com/team/", "VERSION": "v0.1.0", "CLUSTER_DIR": "/big/cluster"},
			settings{root: root, registry: "registry.example.com/team", version: "v0.1.0", cluster: "/big/cluster"},
		},
		"somebody else's cluster has no folder": {
			map[string]string{"CLUSTER": "existing", "CLUSTER_DIR": "/big/cluster"},
			settings{root: root, registry: "ghcr.io/sandkeep"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := settingsFrom(func(key string) string { return tc.env[key] })
			if err != nil {
				t.Fatal(err)
			}
			if got != tc.want {
				t.Errorf("settings = %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestSettingsThatMakeNoReference(t *testing.T) {
	checkout(t)
	for name, env := range map[string]map[string]string{
		"a version with a space":         {"VERSION": "v0.1 0"},
		"a version with a slash":         {"VERSION": "feature/x"},
		"a registry in capitals":         {"REGISTRY": "registry.example.com/Team"},
		"a registry that is a whole URL": {"REGISTRY": "https://registry.example.com/team"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := settingsFrom(func(key string) string { return env[key] })
			wantError(t, err, "REGISTRY or VERSION")
		})
	}
}

func TestSettingsOutsideTheCheckout(t *testing.T) {
	t.Chdir(t.TempDir())
	_, err := settingsFrom(func(string) string { return "" })
	wantError(t, err, "top of the checkout")
}

func TestProgramVersion(t *testing.T) {
	if got := (settings{}).programVersion(); got != "dev" {
		t.Errorf("without a version programs say %q, want dev", got)
	}
	if got := (settings{version: "v1"}).programVersion(); got != "v1" {
		t.Errorf("with a version programs say %q, want v1", got)
	}
}

// checkout changes to a folder that looks like the top of a checkout.
func checkout(t *testing.T) string {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(root, "hack", "images"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir(root)
	return root
}
