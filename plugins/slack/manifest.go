package slack

import "encoding/json"

// Manifest returns the manifest of the Slack app, as JSON, to be pasted when
// the app is made "from a manifest". events is the URL of the connector's
// events, such as https://bridge.example.com/c/slack/events; if it is empty
// the app uses Socket Mode. https://docs.slack.dev/reference/app-manifest
func Manifest(name, events string) ([]byte, error) {
	type object = map[string]any
	subscriptions := object{"bot_events": []string{"message.channels", "message.groups", "message.im", "reaction_added", "reaction_removed"}}
	if events != "" {
		subscriptions["request_url"] = events
	}
	return json.MarshalIndent(object{
		"display_information": object{"name": name, "description": "Brings SIP users and other chats into Slack"},
		"features": object{
			"app_home": object{"home_tab_enabled": false, "messages_tab_enabled": true, "messages_tab_read_only_enabled": false},
			"bot_user": object{"display_name": name, "always_online": true},
		},
		"oauth_config": object{"scopes": object{"bot": scopes()}},
		"settings": object{
			"event_subscriptions":    subscriptions,
			"org_deploy_enabled":     false,
			"socket_mode_enabled":    events == "",
			"token_rotation_enabled": false,
		},
	}, "", "  ")
}

// scopes are the rights that the connector uses.
func scopes() []string {
	return []string{
		"channels:history", "channels:join", "channels:read", "chat:write", "chat:write.customize", "files:read", "files:write",
		"groups:history", "groups:read", "im:history", "im:write", "reactions:read", "reactions:write", "users:read",
	}
}
