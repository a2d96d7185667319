package sandbox

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	v1alpha1 "github.com/sandkeep/sandkeep/api/v1alpha1"
	"github.com/sandkeep/sandkeep/internal/build"
	"github.com/sandkeep/sandkeep/internal/contract"
	"github.com/sandkeep/sandkeep/internal/credential"
)

func TestARunIsToldEverything(t *testing.T) {
	session := build.Session("fix-login").Model("anthropic/claude-sonnet-5").Env("CI", "true").Workspace("", "").
		Repository("https://git.example/team/app.git", "sandkeep/fix-login").Obj()
	class := build.Class("opencode").Agent("opencode").Env("LANG", "C.UTF-8").With(func(c *v1alpha1.SessionClass) {
		c.Spec.Agent.Args = []string{"--model", "$(MODEL)"}
		c.Spec.Agent.Permissions = v1alpha1.AgentPermissionsDeny
		c.Spec.LogFormat, c.Spec.ReportText = v1alpha1.LogFormatJSON, v1alpha1.ReportTextNone
		c.Spec.PodTemplate.Spec.TerminationGracePeriodSeconds = new(int64(30))
	}).Obj()
	resolved := resolved("anthropic", v1alpha1.DeliveryFile)
	want := contract.Config{
		Session: contract.SessionRef{Namespace: "team-a", Name: "fix-login", UID: "uid-of-fix-login", Run: 2},
		Prompt:  "Fix the login", Model: "anthropic/claude-sonnet-5",
		Agent: contract.Agent{
			Protocol: contract.ProtocolACP, Command: []string{"opencode", "acp"}, Args: []string{"--model", "$(MODEL)"},
			Output: contract.OutputText, Permissions: contract.PermissionsDeny,
		},
		Repositories: []contract.Repository{{URL: "https://git.example/team/app.git", Path: "app", PushBranch: "sandkeep/fix-login"}},
		Credentials: []contract.Credential{{
			Provider: "anthropic", Kind: "Credential", Name: "anthropic-shared", Source: "Namespace", Method: "APIKey",
			Delivery: contract.DeliveryFile, BaseURL: "https://api.anthropic.example",
			Env:        []contract.EnvVar{{Name: "ANTHROPIC_API_KEY", Value: "$(API_KEY)"}},
			SecretName: "anthropic-shared", SecretKey: "api-key",
		}},
		UnsetEnv:  []string{"ANTHROPIC_API_KEY"},
		Env:       []contract.EnvVar{{Name: "LANG", Value: "C.UTF-8"}, {Name: "CI", Value: "true"}},
		LogFormat: contract.LogFormatJSON, ReportText: contract.ReportTextNone,
		ReportLimit: 4096, GracePeriod: 30, CloneTimeout: 600, SilenceTimeout: 1800, KeepWorkspace: true,
	}
	got := ConfigFor(ConfigInput{Session: session, Class: class, Resolved: []credential.Resolved{resolved}, Providers: []v1alpha1.APIProvider{*resolved.Provider}, Run: 2})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
}

func TestARunIsToldWhichKeysComeByTheChannel(t *testing.T) {
	type told struct {
		ByChannel                      bool
		BaseURL, SecretName, SecretKey string
	}
	config := ConfigFor(ConfigInput{
		Session: build.Session("s").Obj(), Class: build.Class("c").Obj(), Gateway: aGateway(), Run: 1,
		Resolved: []credential.Resolved{ofAdmin(resolved("anthropic", v1alpha1.DeliveryFile)), ofAdmin(resolved("openai", v1alpha1.DeliveryEnv)), resolved("google", v1alpha1.DeliveryFile)},
	})
	got := map[string]told{}
	for _, c := range config.Credentials {
		got[c.Provider] = told{c.ByChannel, c.BaseURL, c.SecretName, c.SecretKey}
	}
	want := map[string]told{
		"anthropic": {true, "https://api.anthropic.example", "", ""}, "openai": {true, "https://api.openai.example", "", ""},
		"google": {false, "https://api.google.example", "google-shared", "api-key"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("credentials (-want +got):\n%s", diff)
	}
	if config.Gateway == nil {
		t.Error("the sandbox does not know where the gateway is")
	}
}

func TestWhatNobodySaysIsFilledIn(t *testing.T) {
	got := ConfigFor(ConfigInput{Session: build.Session("s").Obj(), Class: build.Class("c").Obj(), Run: 1})
	want := contract.Config{
		Session: contract.SessionRef{Namespace: "team-a", Name: "s", UID: "uid-of-s", Run: 1}, Prompt: "Fix the login",
		Agent: contract.Agent{
			Protocol: contract.ProtocolACP, Command: []string{"opencode", "acp"},
			Output: contract.OutputText, Permissions: contract.PermissionsAllow,
		},
		LogFormat: contract.LogFormatText, ReportText: contract.ReportTextFull,
		ReportLimit: 4096, GracePeriod: 60, CloneTimeout: 600, SilenceTimeout: 1800,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
}

func TestThePinIsReadBackFromTheConfig(t *testing.T) {
	credentials := []credential.Resolved{resolved("anthropic", v1alpha1.DeliveryFile), resolved("openai", v1alpha1.DeliveryEnv)}
	pinned := func(provider string, delivery v1alpha1.Delivery) v1alpha1.ResolvedCredential {
		return v1alpha1.ResolvedCredential{
			Provider: provider, Ref: v1alpha1.CredentialReference{Kind: v1alpha1.CredentialKindCredential, Name: provider + "-shared"},
			Source: v1alpha1.CredentialSourceNamespace, Method: v1alpha1.CredentialMethodAPIKey, Delivery: delivery,
		}
	}
	cases := map[string]struct {
		credentials []credential.Resolved
		want        []v1alpha1.ResolvedCredential
	}{
		"two payers":                            {credentials, []v1alpha1.ResolvedCredential{pinned("anthropic", "File"), pinned("openai", "Env")}},
		"no payer, which is remembered as well": {nil, []v1alpha1.ResolvedCredential{}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			config := ConfigFor(ConfigInput{Session: build.Session("s").Obj(), Class: build.Class("c").Obj(), Resolved: c.credentials, Run: 1})
			if diff := cmp.Diff(c.want, PinOf(config)); diff != "" {
				t.Errorf("pin (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAgentsAreToldTheirOwnOverWhatAllAreTold(t *testing.T) {
	config := v1alpha1.AgentConfig{
		Env:   []v1alpha1.EnvVar{build.Env("KEY", "$(API_KEY)"), build.Env("URL", "$(BASE_URL)"), {Name: "EMPTY"}},
		Files: []v1alpha1.AgentFile{{Path: ".config/a", Content: "all"}},
		Agents: []v1alpha1.NamedAgentConfig{
			{Name: "opencode", Env: []v1alpha1.EnvVar{build.Env("URL", "own"), build.Env("MORE", "1")},
				Files: []v1alpha1.AgentFile{{Path: ".config/b", Content: "own"}, {Path: ".config/a", Content: "own"}}},
			{Name: "codex", Env: []v1alpha1.EnvVar{build.Env("KEY", "")}},
		},
	}
	env := func(pairs ...string) []contract.EnvVar {
		var list []contract.EnvVar
		for i := 0; i < len(pairs); i += 2 {
			list = append(list, contract.EnvVar{Name: pairs[i], Value: pairs[i+1]})
		}
		return list
	}
	all := []contract.FileSpec{{Path: ".config/a", Content: "all"}}
	cases := map[string]struct {
		agent string
		env   []contract.EnvVar
		files []contract.FileSpec
	}{
		"an agent without a name": {"", env("KEY", "$(API_KEY)", "URL", "$(BASE_URL)", "EMPTY", ""), all},
		"an agent of its own":     {"claude", env("KEY", "$(API_KEY)", "URL", "$(BASE_URL)", "EMPTY", ""), all},
		"entries are replaced where they stand, and others follow": {
			"opencode", env("KEY", "$(API_KEY)", "URL", "own", "EMPTY", "", "MORE", "1"),
			[]contract.FileSpec{{Path: ".config/a", Content: "own"}, {Path: ".config/b", Content: "own"}},
		},
		"an entry is replaced by an empty one": {"codex", env("KEY", "", "URL", "$(BASE_URL)", "EMPTY", ""), all},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			before := config.DeepCopy()
			gotEnv, gotFiles := agentConfig(config, c.agent)
			if diff := cmp.Diff(c.env, gotEnv); diff != "" {
				t.Errorf("env (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.files, gotFiles); diff != "" {
				t.Errorf("files (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(*before, config); diff != "" {
				t.Errorf("the APIProvider was changed (-before +after):\n%s", diff)
			}
		})
	}
}

func TestTheKeyVariablesOfEveryProviderAreTakenAway(t *testing.T) {
	providers := []v1alpha1.APIProvider{
		*build.Provider("openai").Env("OPENAI_API_KEY", "$(API_KEY)").Env("OPENAI_BASE_URL", "$(BASE_URL)").UnsetEnv("OPENAI_ORG").Obj(),
		*build.Provider("anthropic").Env("ANTHROPIC_KEY_FILE", "$(API_KEY_FILE)").UnsetEnv("CLAUDE_TOKEN", "AWS_KEY").
			ForAgent(v1alpha1.NamedAgentConfig{Name: "claude", Env: []v1alpha1.EnvVar{build.Env("HEADERS", "Authorization: Bearer $(API_KEY)"), {Name: "EMPTY"}}}).Obj(),
		*build.Provider("proxy").Env("OPENAI_API_KEY", "$(API_KEY)").UnsetEnv("AWS_KEY").Obj(),
	}
	want := []string{"ANTHROPIC_KEY_FILE", "AWS_KEY", "CLAUDE_TOKEN", "HEADERS", "OPENAI_API_KEY", "OPENAI_ORG"}
	if diff := cmp.Diff(want, unsetEnv(providers)); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string(nil), unsetEnv(nil)); diff != "" {
		t.Errorf("names without providers (-want +got):\n%s", diff)
	}
}

func TestARepositoryIsPutWhereItsURLSays(t *testing.T) {
	want := map[string]string{
		"https://git.example/team/app.git":      "app",
		"https://git.example/team/app":          "app",
		"https://git.example/team/app.github":   "app.github",
		"https://git.example:8443/a/b/c/lib.js": "lib.js",
	}
	got := map[string]string{}
	for url := range want {
		got[url] = repositories(build.Session("s").Repository(url, "").Obj())[0].Path
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("paths (-want +got):\n%s", diff)
	}
	session := build.Session("s").With(func(s *v1alpha1.Session) {
		s.Spec.Repositories = []v1alpha1.Repository{{URL: "https://git.example/app.git", Ref: "v1", Path: "src/app", PushBranch: "b"}}
	}).Obj()
	all := []contract.Repository{{URL: "https://git.example/app.git", Ref: "v1", Path: "src/app", PushBranch: "b"}}
	if diff := cmp.Diff(all, repositories(session)); diff != "" {
		t.Errorf("repository with everything said (-want +got):\n%s", diff)
	}
}

func TestABaseURLHasAPortWhereItsSchemeDoesNotImplyIt(t *testing.T) {
	cases := map[string]v1alpha1.Endpoint{
		"https://api.example":      {Host: "api.example", Scheme: "https"},
		"https://unsaid.example":   {Host: "unsaid.example"},
		"https://implied.example":  {Host: "implied.example", Scheme: "https", Port: new(int32(443))},
		"https://api.example:8443": {Host: "api.example", Scheme: "https", Port: new(int32(8443))},
		"https://plain.example:80": {Host: "plain.example", Scheme: "https", Port: new(int32(80))},
		"http://llm.svc":           {Host: "llm.svc", Scheme: "http"},
		"http://implied.svc":       {Host: "implied.svc", Scheme: "http", Port: new(int32(80))},
		"http://llm.svc:4000":      {Host: "llm.svc", Scheme: "http", Port: new(int32(4000))},
	}
	for want, endpoint := range cases {
		if diff := cmp.Diff(want, baseURL(endpoint)); diff != "" {
			t.Errorf("address (-want +got):\n%s", diff)
		}
	}
}

// The kubelet gives the containers of a pod 12 KiB of termination messages together, and each 4 KiB at most.
func TestAReportHasItsShareOfThePodsTerminationMessages(t *testing.T) {
	got := map[int]int{}
	for _, sidecars := range []int{0, 1, 2, 10} {
		class := build.Class("c").Template(func(s *corev1.PodSpec) { s.InitContainers = make([]corev1.Container, sidecars) }).Obj()
		got[sidecars] = ConfigFor(ConfigInput{Session: build.Session("s").Obj(), Class: class, Run: 1}).ReportLimit
	}
	if diff := cmp.Diff(map[int]int{0: 4096, 1: 3072, 2: 2457, 10: 945}, got); diff != "" {
		t.Errorf("limits by the number of sidecars (-want +got):\n%s", diff)
	}
}

func TestAnAgentAlwaysHasTimeToEndWell(t *testing.T) {
	want := map[int64]int64{-1: 60, 0: 60, 1: 1, 300: 300}
	got := map[int64]int64{}
	for asked := range want {
		class := build.Class("c").Template(func(s *corev1.PodSpec) { s.TerminationGracePeriodSeconds = &asked }).Obj()
		told := int64(ConfigFor(ConfigInput{Session: build.Session("s").Obj(), Class: class, Run: 1}).GracePeriod)
		if ofPod := *podOf(class).Spec.TerminationGracePeriodSeconds; ofPod != told {
			t.Errorf("the pod has %d s, but the run is told %d s", ofPod, told)
		}
		got[asked] = told
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("seconds by what the class says (-want +got):\n%s", diff)
	}
}
