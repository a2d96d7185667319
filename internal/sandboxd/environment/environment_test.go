package environment

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/sandkeep/sandkeep/internal/contract"
)

var anthropic = contract.Credential{
	Provider: "anthropic", BaseURL: "https://api.example/", SecretName: "anthropic", SecretKey: "api-key",
	Env: []contract.EnvVar{
		{Name: "ANTHROPIC_API_KEY", Value: "$(API_KEY)"},
		{Name: "ANTHROPIC_BASE_URL", Value: "$(BASE_URL)/v1"},
		{Name: "ANTHROPIC_KEY_FILE", Value: "$(API_KEY_FILE)"},
	},
	Files: []contract.FileSpec{
		{Path: ".agent/auth.json", Content: `{"key":"$(API_KEY)"}`},
		{Path: ".agent/settings.json", Content: `{"url":"$(BASE_URL)"}`},
		{Path: ".agent/helper.json", Content: `{"file":"$(API_KEY_FILE)"}`},
	},
}

var place = Place{Home: "/h", Workspace: "/w", Door: "127.0.0.1:4141"}

func delivered(d contract.Delivery) contract.Credential {
	c := anthropic
	c.Delivery = d
	return c
}

// byChannel is a credential whose key comes from the gateway.
func byChannel(d contract.Delivery) contract.Credential {
	c := delivered(d)
	c.ByChannel, c.SecretName, c.SecretKey = true, "", ""
	return c
}

func TestBuild(t *testing.T) {
	tests := map[string]struct {
		image  []string
		config contract.Config
		keys   []Key
		want   Built
	}{
		"the image's environment stays": {
			image: []string{"PATH=/bin", "LANG=C", "EMPTY=", "odd", "=x"},
			want:  Built{Env: []string{"EMPTY=", "HOME=/h", "LANG=C", "PATH=/bin", "WORKSPACE=/w"}},
		},
		"what is sandboxd's own goes": {
			image: []string{"SANDKEEP_API_KEY_0=k", "SANDKEEP_CONFIG_DIGEST=d", "SANDKEEP_X=y"},
			want:  Built{Env: []string{"HOME=/h", "WORKSPACE=/w"}},
		},
		"home and workspace are ours": {
			image:  []string{"HOME=/root", "WORKSPACE=/x"},
			config: contract.Config{Env: []contract.EnvVar{{Name: "HOME", Value: "/y"}}},
			want:   Built{Env: []string{"HOME=/h", "WORKSPACE=/w"}},
		},
		"class and session win over the image, the later over the earlier": {
			image:  []string{"A=image", "B=image"},
			config: contract.Config{Env: []contract.EnvVar{{Name: "A", Value: "class"}, {Name: "A", Value: "session"}}},
			want:   Built{Env: []string{"A=session", "B=image", "HOME=/h", "WORKSPACE=/w"}},
		},
		"another credential goes, whatever brought it": {
			image:  []string{"ANTHROPIC_API_KEY=image", "ANTHROPIC_AUTH_TOKEN=image", "OPENAI_API_KEY=image"},
			config: contract.Config{Env: []contract.EnvVar{{Name: "ANTHROPIC_AUTH_TOKEN", Value: "session"}, {Name: "SANDKEEP_Y", Value: "z"}}, UnsetEnv: []string{"ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "OPENAI_API_KEY"}},
			want:   Built{Env: []string{"HOME=/h", "WORKSPACE=/w"}},
		},
		"a key in the environment": {
			image:  []string{"ANTHROPIC_API_KEY=image"},
			config: contract.Config{Credentials: []contract.Credential{delivered(contract.DeliveryEnv)}, UnsetEnv: []string{"ANTHROPIC_API_KEY"}},
			keys:   []Key{{Value: "key"}},
			want: Built{
				Env:   []string{"ANTHROPIC_API_KEY=key", "ANTHROPIC_BASE_URL=https://api.example/v1", "HOME=/h", "WORKSPACE=/w"},
				Files: []contract.FileSpec{{Path: ".agent/settings.json", Content: `{"url":"https://api.example"}`}},
			},
		},
		"a key in files": {
			config: contract.Config{Credentials: []contract.Credential{delivered(contract.DeliveryFile)}},
			keys:   []Key{{Value: "key", Path: "/c/api-key"}},
			want: Built{
				Env: []string{"ANTHROPIC_BASE_URL=https://api.example/v1", "ANTHROPIC_KEY_FILE=/c/api-key", "HOME=/h", "WORKSPACE=/w"},
				Files: []contract.FileSpec{
					{Path: ".agent/auth.json", Content: `{"key":"key"}`},
					{Path: ".agent/settings.json", Content: `{"url":"https://api.example"}`},
					{Path: ".agent/helper.json", Content: `{"file":"/c/api-key"}`},
				},
			},
		},
		"a key that stays in the gateway": {
			image:  []string{"ANTHROPIC_API_KEY=image", "ANTHROPIC_KEY_FILE=/image"},
			config: contract.Config{Credentials: []contract.Credential{delivered(contract.DeliveryProxy)}, UnsetEnv: []string{"ANTHROPIC_API_KEY", "ANTHROPIC_KEY_FILE"}},
			keys:   []Key{{}},
			want: Built{
				Env:   []string{"ANTHROPIC_API_KEY=sandkeep-placeholder", "ANTHROPIC_BASE_URL=http://127.0.0.1:4141/anthropic/v1", "HOME=/h", "WORKSPACE=/w"},
				Files: []contract.FileSpec{{Path: ".agent/settings.json", Content: `{"url":"http://127.0.0.1:4141/anthropic"}`}},
			},
		},
		"a key that looks like a word of ours": {
			config: contract.Config{Credentials: []contract.Credential{delivered(contract.DeliveryEnv)}},
			keys:   []Key{{Value: "$(BASE_URL)"}},
			want: Built{
				Env:   []string{"ANTHROPIC_API_KEY=$(BASE_URL)", "ANTHROPIC_BASE_URL=https://api.example/v1", "HOME=/h", "WORKSPACE=/w"},
				Files: []contract.FileSpec{{Path: ".agent/settings.json", Content: `{"url":"https://api.example"}`}},
			},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, Build(tt.image, tt.config, tt.keys, place)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestKeys(t *testing.T) {
	path := func(c contract.Credential) string { return "/c/" + c.Provider }
	read := func(p string) ([]byte, error) {
		if p == "/c/anthropic" {
			return []byte("file-key\n"), nil
		}
		return nil, errors.New("not there")
	}
	missing := delivered(contract.DeliveryFile)
	missing.Provider = "other"
	tests := map[string]struct {
		image       []string
		credentials []contract.Credential
		want        []Key
		err         string
	}{
		"by their numbers": {
			image:       []string{"SANDKEEP_API_KEY_1=second\n", "SANDKEEP_API_KEY_0=first"},
			credentials: []contract.Credential{delivered(contract.DeliveryEnv), delivered(contract.DeliveryEnv)},
			want:        []Key{{Value: "first"}, {Value: "second"}},
		},
		"from a file":        {credentials: []contract.Credential{delivered(contract.DeliveryFile)}, want: []Key{{Value: "file-key", Path: "/c/anthropic"}}},
		"none is handed out": {credentials: []contract.Credential{delivered("Proxy")}, want: []Key{{}}},
		"a missing variable": {credentials: []contract.Credential{delivered(contract.DeliveryEnv)}, err: `check key "api-key" of Secret "anthropic"`},
		"an empty variable":  {image: []string{"SANDKEEP_API_KEY_0= \n"}, credentials: []contract.Credential{delivered(contract.DeliveryEnv)}, err: "is empty or was not delivered"},
		"to come in the environment": {
			image:       []string{"SANDKEEP_API_KEY_0=forged"},
			credentials: []contract.Credential{byChannel(contract.DeliveryEnv)}, want: []Key{{}},
		},
		"to come as a file":   {credentials: []contract.Credential{byChannel(contract.DeliveryFile)}, want: []Key{{Path: "/c/anthropic"}}},
		"a missing file":      {credentials: []contract.Credential{missing}, err: "the key of provider other"},
		"the tenth of twelve": {image: []string{"SANDKEEP_API_KEY_10=x"}, credentials: []contract.Credential{delivered(contract.DeliveryEnv)}, err: "not delivered"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Keys(tt.image, tt.credentials, path, read)
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got %v, want %q", err, tt.err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWriteFiles(t *testing.T) {
	home, private := t.TempDir(), t.TempDir()
	file := contract.FileSpec{Path: ".config/agent/auth.json", Content: "secret"}
	for range 2 { // a container that starts again finds its own files
		if err := WriteFiles([]contract.FileSpec{file}, home, private); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(home, file.Path)
	if data, err := os.ReadFile(path); err != nil || string(data) != "secret" {
		t.Errorf("read %q, %v", data, err)
	}
	target, err := os.Readlink(path)
	if err != nil || filepath.Dir(filepath.Dir(target)) != private {
		t.Errorf("the file is at %q, %v", target, err)
	}
	if stat, err := os.Stat(target); err != nil || stat.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", stat.Mode(), err)
	}
}

func TestFilesAreReplacedWholeWhereTheyHaveChanged(t *testing.T) {
	home, private := t.TempDir(), t.TempDir()
	before := []contract.FileSpec{{Path: "same", Content: "as it was"}, {Path: "auth", Content: "first"}, {Path: "taken", Content: "first"}}
	must(t, WriteFiles(before, home, private))
	must(t, os.WriteFile(filepath.Join(home, "same"), []byte("the agent's own"), 0o600))
	must(t, os.Remove(filepath.Join(home, "taken")))
	must(t, os.WriteFile(filepath.Join(home, "taken"), []byte("the agent's too"), 0o600))
	open, err := os.Open(filepath.Join(home, "auth"))
	must(t, err)
	defer func() { _ = open.Close() }()
	after := []contract.FileSpec{{Path: "same", Content: "as it was"}, {Path: "auth", Content: "2nd"}, {Path: "taken", Content: "2nd"}}
	must(t, ReplaceFiles(before, after, private))
	old, err := io.ReadAll(open)
	must(t, err)
	got := map[string]string{"auth, opened before": string(old)}
	for _, f := range after {
		data, err := os.ReadFile(filepath.Join(home, f.Path))
		must(t, err)
		got[f.Path] = string(data)
	}
	want := map[string]string{"auth, opened before": "first", "same": "the agent's own", "auth": "2nd", "taken": "the agent's too"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	entries, err := os.ReadDir(filepath.Join(private, "files"))
	must(t, err)
	for _, entry := range entries {
		if info, err := entry.Info(); err != nil || info.Mode().Perm() != 0o600 || strings.HasPrefix(entry.Name(), ".") {
			t.Errorf("%s has mode %v, %v", entry.Name(), info.Mode(), err)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestFilesStayInTheHome(t *testing.T) {
	home, outside := t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(home, "out")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"../x", "/etc/x", "", ".", "out/x"} {
		if err := WriteFiles([]contract.FileSpec{{Path: path, Content: "x"}}, home, t.TempDir()); err == nil {
			t.Errorf("%q was written", path)
		}
	}
	if entries, _ := os.ReadDir(outside); len(entries) > 0 {
		t.Errorf("written outside: %v", entries)
	}
}

func TestFilesOfOnePathAreMerged(t *testing.T) {
	credential := func(content string) contract.Credential {
		return contract.Credential{Files: []contract.FileSpec{{Path: "a/auth.json", Content: content}}}
	}
	tests := map[string]struct{ first, second, want string }{
		"two objects":   {`{"x":{"k":1}}`, `{"y":{"k":2}}`, `{"x":{"k":1},"y":{"k":2}}`},
		"inner objects": {`{"p":{"x":1,"z":{"q":1}}}`, `{"p":{"y":2,"z":3}}`, `{"p":{"x":1,"y":2,"z":3}}`},
		"no JSON":       {`a = 1`, `b = 2`, `b = 2`},
		"one JSON":      {`{"a":1}`, `b = 2`, `b = 2`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			config := contract.Config{Credentials: []contract.Credential{credential(tt.first), credential(tt.second)}}
			want := []contract.FileSpec{{Path: "a/auth.json", Content: tt.want}}
			if diff := cmp.Diff(want, Build(nil, config, make([]Key, 2), place).Files); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Programs send plain HTTP to a proxy that they are told of, the loopback address included.
func TestTheDoorIsReachedWithoutAProxy(t *testing.T) {
	tests := map[string]struct {
		image   []string
		class   []contract.EnvVar
		without bool
		want    []string
	}{
		"no proxy":                        {image: []string{"NO_PROXY=a"}, want: []string{"NO_PROXY=a"}},
		"an empty proxy":                  {image: []string{"HTTP_PROXY="}, want: []string{"HTTP_PROXY="}},
		"a proxy of the image":            {image: []string{"HTTP_PROXY=p"}, want: []string{"HTTP_PROXY=p", "NO_PROXY=127.0.0.1,localhost", "no_proxy=127.0.0.1,localhost"}},
		"a proxy of the class":            {class: []contract.EnvVar{{Name: "all_proxy", Value: "p"}}, want: []string{"NO_PROXY=127.0.0.1,localhost", "all_proxy=p", "no_proxy=127.0.0.1,localhost"}},
		"exceptions stay":                 {image: []string{"HTTPS_PROXY=p", "NO_PROXY=.a, localhost"}, want: []string{"HTTPS_PROXY=p", "NO_PROXY=.a, localhost,127.0.0.1", "no_proxy=.a, localhost,127.0.0.1"}},
		"two lists stay two":              {image: []string{"HTTPS_PROXY=p", "NO_PROXY=a", "no_proxy=b"}, want: []string{"HTTPS_PROXY=p", "NO_PROXY=a,127.0.0.1,localhost", "no_proxy=b,127.0.0.1,localhost"}},
		"everything is excepted":          {image: []string{"HTTPS_PROXY=p", "no_proxy=*"}, want: []string{"HTTPS_PROXY=p", "NO_PROXY=*", "no_proxy=*"}},
		"a sandbox without a door is let": {image: []string{"HTTP_PROXY=p"}, without: true, want: []string{"HTTP_PROXY=p"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			config := contract.Config{Env: tt.class, Credentials: []contract.Credential{{Provider: "x", Delivery: contract.DeliveryProxy}}}
			if tt.without {
				config.Credentials[0].Delivery = contract.DeliveryEnv
			}
			got := Build(tt.image, config, make([]Key, 1), place).Env
			if diff := cmp.Diff(append(tt.want, "HOME=/h", "WORKSPACE=/w"), got, cmpopts.SortSlices(strings.Compare)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
