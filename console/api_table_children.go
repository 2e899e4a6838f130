package console

var profileName = pathInput("profile", "do.profile", "Lea")

var scheduleName = pathInput("name", "do.name", "Bedtime")

const (
	aboutWindows  = "For example Mon-Fri 21:30-06:30; one that ends before it begins ends on the day after."
	aboutHolidays = "What it does on holidays."
)

var holidayWords = []string{"usual", "off", "saturday", "sunday"}

var apiProfiles = []apiRoute{
	{
		method: "GET", path: "/profiles", id: "listProfiles", topic: "Children", operation: "family", scopes: scopeRead, only: "profiles", list: "profiles", key: "name", revision: true,
		says: "The profiles, each of a person or of everyone without one of their own.",
	},
	{
		method: "POST", path: "/profiles", id: "addProfile", topic: "Children", operation: "profiles-add", scopes: scopeWrite,
		says: "Makes a profile, from the preset of an age band.",
		inputs: []input{
			bodyInput("name", "do.profile", "Tom").required(), bodyInput("preset", "do.preset", "B").required().one(presetWords...),
		},
	},
	{
		method: "GET", path: "/profiles/{profile}", id: "getProfile", topic: "Children", operation: "profiles-show", scopes: scopeRead,
		says:   "All that a profile chooses, and the preset's reasons where it differs.",
		inputs: []input{pathInput("profile", "profile", "Lea")},
	},
	{
		method: "GET", path: "/profiles/{profile}/services", id: "listProfileServices", topic: "Children", operation: "profiles-services", scopes: scopeRead, list: "services", key: "id",
		says: "What a profile does about each service that Kinward knows by name.",
		inputs: []input{
			pathInput("profile", "profile", "Lea"), queryInput("search", "search", "omegle"), queryInput("category", "category", ""),
			queryInput("own", "own", false).means("Only those that it chose about itself."),
		},
	},
	{
		method: "GET", path: "/profiles/{profile}/my", id: "getMyPage", topic: "Children", operation: "profiles-my", scopes: scopeRead,
		says: "What the child is told: what is filtered, what is kept, who can see it.", inputs: []input{pathInput("profile", "profile", "Lea")},
	},
	{
		method: "PUT", path: "/profiles/{profile}/name", id: "renameProfile", topic: "Children", operation: "profiles-rename", scopes: scopeWrite,
		says: "Gives a profile another name.", inputs: []input{pathInput("profile", "do.profile", "Tom"), bodyInput("name", "do.to", "Thomas").required()},
	},
	{
		method: "PUT", path: "/profiles/{profile}/preset", id: "setPreset", topic: "Children", operation: "profiles-preset", scopes: scopeWrite,
		says:   "Chooses the age band that a profile starts from.",
		inputs: []input{pathInput("profile", "do.profile", "Thomas"), bodyInput("preset", "do.preset", "C").required().one(presetWords...)},
	},
	{
		method: "DELETE", path: "/profiles/{profile}", id: "removeProfile", topic: "Children", operation: "profiles-remove", scopes: scopeWrite,
		says: "Removes a profile with its choices, rules and schedules.", inputs: []input{pathInput("profile", "do.profile", "Thomas")},
	},
	{
		method: "PUT", path: "/profiles/{profile}/choices/{thing}", id: "choose", topic: "Children", operation: "profiles-choose", scopes: scopeWrite,
		says: "Chooses about a category or a service; preset goes back to what the age band says.",
		inputs: []input{
			profileName, pathInput("thing", "do.thing", "roblox").means("The ID of a category or of a service."), bodyInput("choice", "do.choice", "block").required().one(choiceWords...),
		},
	},
	{
		method: "PUT", path: "/profiles/{profile}/lists/{list}", id: "chooseList", topic: "Children", operation: "profiles-list", scopes: scopeWrite,
		says:   "Chooses about a list, whatever its category.",
		inputs: []input{profileName, pathInput("list", "do.thing", "ours"), bodyInput("choice", "do.choice", "block").required().one(choiceWords...)},
	},
	{
		method: "PUT", path: "/profiles/{profile}/log/{category}", id: "setLog", topic: "Children", operation: "profiles-log", scopes: scopeWrite,
		says:   "Chooses what is kept of attempts at a category.",
		inputs: []input{profileName, pathInput("category", "do.thing", "dating"), bodyInput("choice", "do.choice", "count").required().one("item", "count", "none", "preset")},
	},
	{
		method: "PUT", path: "/profiles/{profile}/response", id: "setResponse", topic: "Children", operation: "profiles-response", scopes: scopeWrite,
		says: "Chooses how blocked questions are answered.",
		inputs: []input{
			profileName, bodyInput("choice", "do.choice", "zero").required().means("nxdomain, zero, preset, or an address: IPv4, IPv6, or both with a comma."),
		},
	},
	{
		method: "PUT", path: "/profiles/{profile}/bypass", id: "setBypass", topic: "Children", operation: "profiles-bypass", scopes: scopeWrite,
		says:   "Chooses whether names that lead past the filter are blocked.",
		inputs: []input{profileName, bodyInput("choice", "do.choice", "on").required().one(onOffWords...)},
	},
	{
		method: "PUT", path: "/profiles/{profile}/guests", id: "setGuests", topic: "Children", operation: "profiles-guests", scopes: scopeWrite,
		says:   "Says whether a profile is for visitors, whose attempts are counted and never named.",
		inputs: []input{pathInput("profile", "do.profile", "Everyone"), bodyInput("choice", "do.choice", "off").required().one("on", "off")},
	},
	{
		method: "GET", path: "/search", id: "listSearch", topic: "Children", operation: "search", scopes: scopeRead, list: "profiles", key: "profile",
		says: "The safe modes of search engines, by profile.",
	},
	{
		method: "PUT", path: "/profiles/{profile}/search/{engine}", id: "setSearch", topic: "Children", operation: "search-set", scopes: scopeWrite,
		says:   "Chooses the safe mode of a search engine.",
		inputs: []input{profileName, pathInput("engine", "do.thing", "youtube"), bodyInput("mode", "do.choice", "moderate").required().one("safe", "moderate", "off", "preset")},
	},
	{
		method: "PUT", path: "/profiles/{profile}/pause", id: "pause", topic: "Children", operation: "pause", scopes: scopeWrite,
		says: "Blocks everything for a profile, or for all but adults' (the profile all): until it is resumed, where no end is given.",
		inputs: []input{
			profileName, bodyInput("for", "do.for", "30m").means(spanOn), bodyInput("until", "do.until", nil).means(untilTime),
		},
	},
	{
		method: "DELETE", path: "/profiles/{profile}/pause", id: "resume", topic: "Children", operation: "resume", scopes: scopeWrite,
		says: "Ends a pause.", inputs: []input{profileName},
	},

	{
		method: "GET", path: "/profiles/{profile}/rules", id: "listRules", topic: "Children", operation: "profiles-show", scopes: scopeRead, only: "rules", list: "rules", key: "id",
		says: "The profile's own rules.", inputs: []input{pathInput("profile", "profile", "Lea")},
	},
	{
		method: "POST", path: "/profiles/{profile}/rules", id: "addRule", topic: "Children", operation: "rules-add", scopes: scopeWrite,
		says: "Allows or blocks a name.",
		inputs: []input{
			profileName, bodyInput("name", "do.name", "forum.example.org").required().means("example.com and all below it, =www.example.com alone, *.example.com, or a pattern."),
			bodyInput("allow", "do.allow", true).required(), bodyInput("for", "do.for", nil).means(spanOn + " For good, where it is missing."),
		},
	},
	{
		method: "DELETE", path: "/rules/{id}", id: "removeRule", topic: "Children", operation: "rules-remove", scopes: scopeWrite,
		says: "Removes a rule.", inputs: []input{pathInput("id", "do.id", 1)},
	},

	{
		method: "GET", path: "/profiles/{profile}/schedules", id: "listSchedules", topic: "Children", operation: "profiles-show", scopes: scopeRead, only: "schedules", list: "schedules", key: "id",
		says: "When something is blocked or free.", inputs: []input{pathInput("profile", "profile", "Lea")},
	},
	{
		method: "POST", path: "/profiles/{profile}/schedules", id: "addSchedule", topic: "Children", operation: "schedules-add", scopes: scopeWrite,
		says: "Adds a schedule.",
		inputs: []input{
			profileName, bodyInput("name", "do.name", "Homework").required(), bodyInput("effect", "do.effect", "block").required().one("block", "free"),
			bodyInput("target", "do.target", "tiktok").required().means("everything, a category, a service, or rule:NUMBER."),
			bodyInput("windows", "do.windows", []string{"Mon-Fri 14:00-16:00"}).required().means(aboutWindows),
			bodyInput("holidays", "do.holidays", "off").one(holidayWords...).means(aboutHolidays),
		},
	},
	{
		method: "PUT", path: "/profiles/{profile}/bedtime", id: "setBedtime", topic: "Children", operation: "schedules-bedtime", scopes: scopeWrite,
		says: "Says when everything is closed at night.",
		inputs: []input{
			profileName, bodyInput("windows", "do.windows", []string{"Sun-Thu 20:30-06:30", "Fri,Sat 22:00-08:00"}).required().means(aboutWindows),
			bodyInput("holidays", "do.holidays", nil).one(holidayWords...).means(aboutHolidays),
		},
	},
	{
		method: "PATCH", path: "/profiles/{profile}/schedules/{name}", id: "setSchedule", topic: "Children", operation: "schedules-set", scopes: scopeWrite,
		says: "Changes what a schedule does, and when. What is not named stays.",
		inputs: []input{
			profileName, scheduleName, bodyInput("name", "do.to", nil).means("Another name for it."), bodyInput("effect", "do.effect", nil).one("block", "free"),
			bodyInput("target", "do.target", nil), bodyInput("windows", "do.windows", []string{"20:00-06:30"}).means(aboutWindows),
			bodyInput("holidays", "do.holidays", nil).one(holidayWords...),
		},
	},
	{
		method: "PUT", path: "/profiles/{profile}/schedules/{name}/days/{day}", id: "setDay", topic: "Children", operation: "schedules-except", scopes: scopeWrite,
		says: "Gives a single day other windows, or none.",
		inputs: []input{
			profileName, scheduleName, pathInput("day", "do.day", "2026-12-31"), bodyInput("windows", "do.windows", []string{"23:30-08:00"}),
		},
	},
	{
		method: "DELETE", path: "/profiles/{profile}/schedules/{name}/days/{day}", id: "resetDay", topic: "Children", operation: "schedules-except", scopes: scopeWrite,
		says: "Lets a single day be as usual again.", inputs: []input{profileName, scheduleName, pathInput("day", "do.day", "2026-12-31")}, fixed: object{"do.usual": true},
	},
	{
		method: "PUT", path: "/profiles/{profile}/schedules/{name}/holidays", id: "setScheduleHolidays", topic: "Children", operation: "schedules-holidays", scopes: scopeWrite,
		says: "Chooses what a schedule does on holidays.", inputs: []input{profileName, scheduleName, bodyInput("holidays", "do.holidays", "saturday").required().one(holidayWords...)},
	},
	{
		method: "PUT", path: "/profiles/{profile}/schedules/{name}/on", id: "switchSchedule", topic: "Children", operation: "schedules-switch", scopes: scopeWrite,
		says: "Puts a schedule in force, or out of it.", inputs: []input{profileName, scheduleName, bodyInput("on", "do.on", false).required()},
	},
	{
		method: "DELETE", path: "/profiles/{profile}/schedules/{name}", id: "removeSchedule", topic: "Children", operation: "schedules-remove", scopes: scopeWrite,
		says: "Removes a schedule.", inputs: []input{profileName, scheduleName},
	},

	{
		method: "GET", path: "/grants", id: "listGrants", topic: "Children", operation: "family", scopes: scopeRead | scopeRequests, only: "grants", list: "grants", key: "id",
		says: "What is allowed for a while.",
	},
	{
		method: "POST", path: "/grants", id: "addGrant", topic: "Children", operation: "grants-add", scopes: scopeWrite | scopeRequests,
		says: "Allows something for a while, at bedtime and during a pause too.",
		inputs: []input{
			bodyInput("what", "do.what", "roblox").required().means("A category, a service, a name and all below it, or everything."),
			bodyInput("profile", "do.profile", "Lea").required(), bodyInput("for", "do.for", "15m").means(spanOn), bodyInput("until", "do.until", nil).means(untilTime),
		},
	},
	{
		method: "DELETE", path: "/grants/{id}", id: "revokeGrant", topic: "Children", operation: "grants-revoke", scopes: scopeWrite | scopeRequests,
		says: "Ends a grant early.", inputs: []input{pathInput("id", "do.id", 1)},
	},
}

var deviceName = pathInput("device", "do.device", "Tablet").means("Its name, or one of its clues.")

const aboutClue = "An address, a network, a hardware address, or dns: with the label of its private-DNS name."

var apiDevices = []apiRoute{
	{
		method: "GET", path: "/devices", id: "listDevices", topic: "Devices", operation: "family", scopes: scopeRead, only: "devices", list: "devices", key: "name",
		says: "The devices that have a name here.",
	},
	{
		method: "GET", path: "/devices/unknown", id: "listUnknownDevices", topic: "Devices", operation: "devices-seen", scopes: scopeRead,
		says: "Devices that asked and have no name yet. It tells nothing of what they asked.",
	},
	{
		method: "POST", path: "/devices", id: "addDevice", topic: "Devices", operation: "devices-add", scopes: scopeWrite,
		says: "Gives a device a name and a profile.",
		inputs: []input{
			bodyInput("clue", "do.device", "192.168.1.77").required().means(aboutClue), bodyInput("name", "do.name", "Phone").required(),
			bodyInput("profile", "do.profile", "Lea").means("The household's, where it is missing."),
		},
	},
	{
		method: "POST", path: "/devices/guests", id: "addGuest", topic: "Devices", operation: "devices-guest", scopes: scopeWrite,
		says: "Gives a visitor's device a profile for guests, for some days.",
		inputs: []input{
			bodyInput("clue", "do.device", "192.168.1.78").required().means(aboutClue), bodyInput("name", "do.name", "Tom's phone"),
			bodyInput("profile", "do.profile", "Everyone"), bodyInput("for", "do.for", "3d").required().means(spanOn),
		},
	},
	{
		method: "PUT", path: "/devices/{device}/profile", id: "setDeviceProfile", topic: "Devices", operation: "devices-profile", scopes: scopeWrite,
		says: "Gives a device another profile.", inputs: []input{deviceName, bodyInput("profile", "do.profile", "Everyone").required()},
	},
	{
		method: "PUT", path: "/devices/{device}/name", id: "renameDevice", topic: "Devices", operation: "devices-rename", scopes: scopeWrite,
		says: "Gives a device another name.", inputs: []input{pathInput("device", "do.device", "Phone"), bodyInput("name", "do.name", "Old phone").required()},
	},
	{
		method: "PUT", path: "/devices/{device}/exemption", id: "exemptDevice", topic: "Devices", operation: "devices-exempt", scopes: scopeWrite,
		says: "Lets an adult's device ask for everything but what is dangerous to everybody.",
		inputs: []input{
			deviceName, bodyInput("name", "do.name", nil).means("What to call a device without a name."), bodyInput("for", "do.for", "2h").means(spanOn + " For good, where it is missing."),
		},
	},
	{
		method: "DELETE", path: "/devices/{device}/exemption", id: "unexemptDevice", topic: "Devices", operation: "devices-unexempt", scopes: scopeWrite,
		says: "Ends an exemption.", inputs: []input{deviceName},
	},
	{
		method: "PUT", path: "/devices/{device}/clues/{clue}", id: "addClue", topic: "Devices", operation: "devices-clue-add", scopes: scopeWrite,
		says: "Recognises a device by one more clue.", inputs: []input{deviceName, pathInput("clue", "do.clue", "02:00:5e:10:00:31").means(aboutClue)},
	},
	{
		method: "DELETE", path: "/devices/{device}/clues/{clue}", id: "removeClue", topic: "Devices", operation: "devices-clue-remove", scopes: scopeWrite,
		says: "Recognises a device by a clue no longer.", inputs: []input{deviceName, pathInput("clue", "do.clue", "02:00:5e:10:00:31").means(aboutClue)},
	},
	{
		method: "POST", path: "/devices/{device}/setup", id: "setUpDevice", topic: "Devices", operation: "devices-setup", scopes: scopeWrite,
		says: "What a device is set up with, away from home too. It makes the device's private-DNS name, where there is none.",
		inputs: []input{
			deviceName, bodyInput("renew", "do.renew", false).means("Make another name, and take the old ones away."),
		},
	},
	{
		method: "GET", path: "/devices/{device}/apple-profile", id: "getAppleProfile", topic: "Devices", operation: "devices-apple", scopes: scopeWrite,
		says:   "The profile (mobileconfig) that sets an Apple device up, where it has a private-DNS name. It holds the device's secret.",
		inputs: []input{pathInput("device", "device", "Tablet")},
	},
	{
		method: "POST", path: "/devices/{device}/watch", id: "watchDevice", topic: "Devices", operation: "devices-watch", scopes: scopeWrite,
		says: "Looks for ten minutes whether a device asks here: it has to open the name that is answered.", inputs: []input{pathInput("device", "device", "Tablet")},
	},
	{
		method: "GET", path: "/devices/{device}/watch/{token}", id: "getWatch", topic: "Devices", operation: "devices-watched", scopes: scopeWrite,
		says: "What was seen of it so far.", inputs: []input{pathInput("device", "device", "Tablet"), pathInput("token", "token", "k3v5zq7w2mxa4b6e")},
	},
	{
		method: "DELETE", path: "/devices/{device}", id: "removeDevice", topic: "Devices", operation: "devices-remove", scopes: scopeWrite,
		says: "Removes a device's name; it has the household's profile then.", inputs: []input{pathInput("device", "do.device", "Old phone")},
	},
}

var apiServer = []apiRoute{
	{
		method: "GET", path: "/server", id: "getServer", topic: "Server", operation: "status", scopes: scopeOperator, without: []string{"profile"},
		says: "What the server knows of itself: addresses, upstreams, database, lists, certificate.",
	},
	{
		method: "GET", path: "/server/health", id: "getHealth", topic: "Server", operation: "doctor", scopes: scopeOperator,
		says: "What works, what does not, and what to do. It takes some seconds: the server asks others.",
	},
	{
		method: "GET", path: "/server/cache", id: "getCache", topic: "Server", operation: "cache", scopes: scopeOperator,
		says: "How many answers are kept, and how often they served.",
	},
	{
		method: "DELETE", path: "/server/cache/{name}", id: "flushCache", topic: "Server", operation: "cache-flush", scopes: scopeOperator,
		says: "Forgets the answers for a name.", inputs: []input{pathInput("name", "name", "example.com"), queryInput("below", "below", true).means("Also those below it.")},
	},
	{
		method: "POST", path: "/server/backup", id: "backUp", topic: "Server", operation: "backup", scopes: scopeOperator,
		says: "Writes a backup into the server's data folder.",
	},
	{
		method: "GET", path: "/families", id: "listFamilies", topic: "Server", operation: "families", scopes: scopeOperator, list: "families", key: "id", paged: true,
		says: "The families that the server serves: their names, and nothing of what they hold.",
	},
	{
		method: "POST", path: "/families", id: "addFamily", topic: "Server", operation: "families-add", scopes: scopeOperator,
		says: "Makes a family, with the profiles Everyone and Adults.",
		inputs: []input{
			bodyInput("name", "do.name", "Smith").required(), bodyInput("zone", "do.zone", "Europe/London"), bodyInput("preset", "do.preset", "C").required().one(presetWords...),
		},
	},
	{
		method: "PUT", path: "/families/{family}/networks/{network}", id: "addNetwork", topic: "Server", operation: "families-network", scopes: scopeOperator,
		says: "Recognises a family by an address or a network (its slash written %2F).", fixed: object{"do.add": true},
		inputs: []input{pathInput("family", "family", "Smith").means("A family's name or number."), pathInput("network", "do.network", "203.0.113.7")},
	},
	{
		method: "DELETE", path: "/families/{family}/networks/{network}", id: "removeNetwork", topic: "Server", operation: "families-network", scopes: scopeOperator,
		says:   "Recognises a family by it no longer.",
		inputs: []input{pathInput("family", "family", "Smith").means("A family's name or number."), pathInput("network", "do.network", "203.0.113.7")},
	},
	{
		method: "DELETE", path: "/families/{family}", id: "removeFamily", topic: "Server", operation: "families-remove", scopes: scopeOperator,
		says: "Removes a family, and all that was kept of it, for good.",
		inputs: []input{
			pathInput("family", "do.name", "Smith").means("A family's name or number."), queryInput("yes", "do.yes", true).required().means("Yes, its choices and its record are to be deleted."),
		},
	},
	{
		method: "POST", path: "/lists", id: "addList", topic: "Server", operation: "lists-add", scopes: scopeOperator,
		says: "Fetches a list, checks it, and puts it in force.",
		inputs: []input{
			bodyInput("location", "location", "https://example.org/list.txt").required().means("A URL, or the absolute path of a file on the server."),
			bodyInput("category", "category", "own").required(), bodyInput("id", "id", "ours").required(), bodyInput("name", "name", "Our own list"),
			bodyInput("mirrors", "mirrors", nil), bodyInput("member", "member", nil).means("Which file of an archive."), bodyInput("format", "format", nil), bodyInput("match", "match", nil),
			bodyInput("patterns", "patterns", nil).means("Also take wildcards inside names and regular expressions."),
		},
	},
	{
		method: "POST", path: "/lists/{id}/update", id: "updateList", topic: "Server", operation: "lists-update", scopes: scopeOperator,
		says: "Fetches a list again; where that fails, the last good copy stays.", inputs: []input{pathInput("id", "ids", "ours")},
	},
	{
		method: "POST", path: "/lists/{id}/accept", id: "acceptList", topic: "Server", operation: "lists-accept", scopes: scopeOperator,
		says: "Takes a version that was held because it differs much.", inputs: []input{pathInput("id", "ids", "ours")},
	},
	{
		method: "POST", path: "/lists/{id}/rollback", id: "rollBackList", topic: "Server", operation: "lists-rollback", scopes: scopeOperator,
		says: "Goes back to the version before.", inputs: []input{pathInput("id", "ids", "ours")},
	},
	{
		method: "DELETE", path: "/lists/{id}", id: "removeList", topic: "Server", operation: "lists-remove", scopes: scopeOperator,
		says: "Takes a list out of force, and deletes its copy.", inputs: []input{pathInput("id", "ids", "ours")},
	},
	{
		method: "POST", path: "/catalogue/update", id: "updateCatalogue", topic: "Server", operation: "catalogue-update", scopes: scopeOperator,
		says: "Fetches the catalogue from where it is published, and puts it in force.", fixed: object{"location": ""},
		inputs: []input{bodyInput("accept", "accept", false).means("Also where it would lose much of what it has.")},
	},
	{
		method: "POST", path: "/catalogue/rollback", id: "rollBackCatalogue", topic: "Server", operation: "catalogue-rollback", scopes: scopeOperator,
		says: "Goes back to the catalogue before.",
	},
}
