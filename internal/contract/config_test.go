package contract

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/randfill"
)

func TestConfigSurvivesItsConfigMap(t *testing.T) {
	for seed := range int64(50) {
		var want Config
		randfill.NewWithSeed(seed).NilChance(0).NumElements(1, 3).Fill(&want)
		got, err := DecodeConfig(encodeConfig(t, want))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("seed %d: config (-want +got):\n%s", seed, diff)
		}
	}
}

func TestEqualConfigsHaveOneDigest(t *testing.T) {
	config := func(prompt string) Config {
		return Config{Prompt: prompt, Env: []EnvVar{{"B", "2"}, {"A", "1"}}, UnsetEnv: []string{"X", "Y"}}
	}
	first, second, other := encodeConfig(t, config("a")), encodeConfig(t, config("a")), encodeConfig(t, config("b"))
	if diff := cmp.Diff(Digest(first), Digest(second)); diff != "" {
		t.Errorf("digests of equal configs (-first +second):\n%s", diff)
	}
	if Digest(first) == Digest(other) {
		t.Errorf("two configs have the digest %s", Digest(first))
	}
	// As sha256sum prints it for an empty file.
	if diff := cmp.Diff("sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", Digest(nil)); diff != "" {
		t.Errorf("digest (-want +got):\n%s", diff)
	}
}

func TestABrokenConfigIsAnError(t *testing.T) {
	whole := encodeConfig(t, Config{Prompt: "Fix the login"})
	for name, data := range map[string][]byte{
		"nothing": nil, "cut": whole[:len(whole)-1], "doubled": slices.Concat(whole, whole), "of another type": []byte(`{"prompt":1}`),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := DecodeConfig(data)
			if err == nil {
				t.Fatalf("%q was decoded", data)
			}
			if diff := cmp.Diff(Config{}, got); diff != "" {
				t.Errorf("with the error came (-want +got):\n%s", diff)
			}
		})
	}
}

func TestVariablesOfKeysAreNumbered(t *testing.T) {
	got := []string{APIKeyEnv(0), APIKeyEnv(11)}
	if diff := cmp.Diff([]string{"SANDKEEP_API_KEY_0", "SANDKEEP_API_KEY_11"}, got); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

func TestSecondsAreDurations(t *testing.T) {
	if diff := cmp.Diff(90*time.Second, Seconds(90).Duration()); diff != "" {
		t.Errorf("duration (-want +got):\n%s", diff)
	}
}

// A ConfigMap can be read by everyone who may read the namespace, so a Config refers to keys and has no place for one. Whoever
// adds a field decides here that no key can be in it.
func TestAConfigHasNoPlaceForKeyMaterial(t *testing.T) {
	want := []string{
		"Agent.Args", "Agent.Command", "Agent.Output", "Agent.Permissions", "Agent.Protocol",
		"CloneTimeout",
		"Credentials.BaseURL", "Credentials.ByChannel", "Credentials.Delivery", "Credentials.Env.Name", "Credentials.Env.Value", // Value with $(API_KEY) unexpanded
		"Credentials.Files.Content", "Credentials.Files.Path", // Content likewise
		"Credentials.Kind", "Credentials.Method", "Credentials.Name",
		"Credentials.PassedOver", // what the status of another credential says
		"Credentials.Provider",
		"Credentials.SecretKey", "Credentials.SecretName", // where the key is
		"Credentials.Source",
		"Env.Name", "Env.Value",
		"Gateway.CABundle", "Gateway.URL", // certificates, no keys
		"GracePeriod", "KeepWorkspace", "LogFormat", "Model", "Prompt", "ReportLimit", "ReportText",
		"Repositories.Path", "Repositories.PushBranch", "Repositories.Ref", "Repositories.URL",
		"Session.Name", "Session.Namespace", "Session.Run", "Session.UID",
		"SilenceTimeout", "UnsetEnv",
	}
	got := leaves(reflect.TypeFor[Config](), "")
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fields (-decided on +found):\n%s", diff)
	}
}

// leaves lists the fields of a type that are no structs, with the fields of structs and of lists of structs in place of these.
func leaves(kind reflect.Type, prefix string) []string {
	for kind.Kind() == reflect.Slice || kind.Kind() == reflect.Pointer {
		kind = kind.Elem()
	}
	if kind.Kind() != reflect.Struct {
		return []string{prefix}
	}
	var names []string
	for field := range kind.Fields() {
		name := field.Name
		if prefix != "" {
			name = prefix + "." + name
		}
		names = append(names, leaves(field.Type, name)...)
	}
	return names
}

func encodeConfig(t *testing.T, c Config) []byte {
	t.Helper()
	data, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}
