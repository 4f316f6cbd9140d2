"""Word lists of the caption grammar: data only; a form's `{}` are filled with what is shown."""

from __future__ import annotations

# Words that say how something is painted, and mean it.
COUNT_WORDS: dict[int, tuple[str, ...]] = {
    2: ("two", "two", "a pair of", "2", "a couple of"),
    3: ("three", "three", "3", "a group of three"),
    4: ("four", "four", "4", "a group of four"),
}
SIZE_WORDS: dict[str, tuple[str, ...]] = {
    "tiny": ("tiny", "tiny", "very small", "miniature"),
    "small": ("small",),
    "huge": ("huge", "huge", "giant", "enormous"),
}
PLACE_FORMS: dict[str, tuple[str, ...]] = {
    "left": ("{} on the left", "{} on the left side", "on the left, {}"),
    "right": ("{} on the right", "{} on the right side", "on the right, {}"),
    "top": ("{} at the top", "{} in the upper part"),
    "bottom": ("{} at the bottom", "{} in the lower part"),
    "top left": ("{} in the top left corner", "{} in the upper left corner", "{} at the top left"),
    "top right": ("{} in the top right corner", "{} in the upper right corner", "{} at the top right"),
    "bottom left": (
        "{} in the bottom left corner", "{} in the lower left corner", "{} at the bottom left",
        "{} in the corner",
    ),
    "bottom right": (
        "{} in the bottom right corner", "{} in the lower right corner", "{} at the bottom right",
    ),
}  # fmt: skip
COUPLE_FORMS: dict[str, tuple[str, ...]] = {
    "beside": (
        "{} and {}", "{} and {}", "{} next to {}", "{} next to {}", "{} beside {}", "{} with {}",
        "{} near {}", "{} together with {}",
    ),
    "left": (
        "{} to the left of {}", "{} left of {}", "{} on the left of {}",
        "{} on the left and {} on the right", "{} on the left, {} on the right",
    ),
    "right": (
        "{} to the right of {}", "{} right of {}", "{} on the right of {}",
        "{} on the right and {} on the left",
    ),
    "above": (
        "{} above {}", "{} over {}", "{} on top of {}", "{} at the top and {} at the bottom",
    ),
    "below": ("{} below {}", "{} under {}", "{} beneath {}", "{} underneath {}"),
}  # fmt: skip
COLOUR_SYNONYMS: dict[str, tuple[str, ...]] = {
    "red": ("crimson",),
    "grey": ("gray",),
    "purple": ("violet",),
    "teal": ("turquoise",),
    "blue": ("dark blue",),
    "green": ("dark green",),
    "yellow": ("golden",),
}
BACKGROUND_SYNONYMS: dict[str, tuple[str, ...]] = {
    "white": ("plain white",),
    "grey": ("gray",),
    "light blue": ("sky blue", "pale blue"),
    "blue": ("dark blue", "deep blue"),
    "beige": ("cream",),
    "teal": ("turquoise", "cyan"),
    "purple": ("violet",),
}
BACKGROUND_FORMS: tuple[str, ...] = (
    "on a {} background", "on a {} background", "on a {} background", "with a {} background",
    "{} background", "against a {} background", "{} backdrop", "on {}", "over a {} background",
)  # fmt: skip

# Words that mean nothing.
ADJECTIVES: tuple[str, ...] = (
    "cute", "beautiful", "little", "big", "large", "old", "new", "lovely", "nice",
    "funny", "happy", "friendly", "simple", "colorful", "colourful", "bright", "shiny", "fresh",
    "single", "modern", "vintage", "retro", "wild", "classic", "detailed", "perfect", "fluffy",
    "delicious", "pretty", "adorable", "majestic", "ancient", "magical", "stylish",
    "wooden", "soft", "smooth", "round", "dusty", "broken", "dirty", "clean", "young",
    "realistic looking", "very cute", "tall", "rusty", "cozy", "sweet", "tasty", "strange",
)  # fmt: skip

OPENINGS: tuple[str, ...] = (
    "a photo of {}", "a picture of {}", "an image of {}", "a drawing of {}", "a painting of {}",
    "an illustration of {}", "a close-up of {}", "a portrait of {}", "photo of {}", "picture of {}",
    "a photograph of {}", "a render of {}", "an emoji of {}", "{} emoji", "a logo of {}",
    "show me {}", "please draw {}", "draw {}", "paint {}", "generate {}",
    "close up photo of {}", "i want {}", "this is {}", "there is {}", "a beautiful photo of {}",
    "a high quality picture of {}", "a cinematic shot of {}", "a studio photo of {}",
    "portrait of {}", "a professional photograph of {}", "can you make {}", "a sketch of {}",
)  # fmt: skip

QUALITIES: tuple[str, ...] = (
    "highly detailed", "8k", "4k", "high quality", "cinematic lighting", "masterpiece", "sharp focus",
    "studio lighting", "soft light", "high resolution", "ultra detailed", "best quality", "beautiful",
    "award winning", "professional", "depth of field", "bokeh", "hdr", "trending", "digital art",
    "concept art", "volumetric light", "golden hour", "warm light", "dramatic lighting", "photorealistic",
    "intricate", "vibrant colors", "film grain", "wide angle", "macro", "centered", "isolated",
    "natural light", "atmospheric", "moody", "no text", "35mm", "unreal engine", "octane",
)  # fmt: skip

FILLERS: tuple[str, ...] = (
    "on a desk", "on a table", "in a messy room", "in a room", "in a forest", "in the garden",
    "at night", "at sunset", "in the rain", "on the beach", "by the sea", "in a city",
    "on the street", "in a field", "in space", "under the sky", "on a wooden table", "in the kitchen",
    "on the grass", "in the park", "near a window", "on a shelf", "in a studio", "in the dark",
    "with a smile", "on a desk in a messy room", "in a small room",
    "standing on a hill", "sitting on a chair", "lying on the floor",
    "in the middle of nowhere", "in front of a wall", "with soft shadows",
    "on a sunny day", "in the morning", "full of light", "with many details",
    "in the {} of a {}", "{} {}", "for a {} {}",
    "made of {} {}", "that looks like {} {}",
)  # fmt: skip

STYLE_FORMS: tuple[str, ...] = (
    "{subject}, {style} style", "{subject}, {style} style", "{subject}, {style}",
    "{subject} in {style} style", "{style} {subject}", "{subject} in the {style} style",
    "{style} style, {subject}", "{subject} as a {style} picture", "{style} style {subject}",
)  # fmt: skip

# Common words that are in no emoji list but in many prompts; fillers draw from them.
COMMON: tuple[str, ...] = (
    "the", "a", "an", "of", "in", "on", "at", "with", "and", "or", "by", "for", "from", "to",
    "into", "over", "under", "behind", "between", "near", "beside", "around", "is", "are", "was",
    "being", "has", "have", "it", "its", "this", "that", "these", "those", "there", "here", "who",
    "which", "while", "when", "where", "as", "like", "one", "two", "three", "four", "five", "six",
    "seven", "eight", "nine", "ten", "many", "few", "some", "several", "every", "each", "all",
    "no", "not", "only", "very", "man", "woman", "girl", "boy", "person", "people", "child",
    "baby", "king", "queen", "wizard", "knight", "soldier", "astronaut", "doctor", "room", "desk",
    "table", "chair", "floor", "wall", "window", "door", "kitchen", "bedroom", "bathroom",
    "office", "garage", "street", "road", "city", "town", "village", "forest", "wood", "woods",
    "garden", "field", "meadow", "desert", "beach", "sea", "ocean", "lake", "river", "mountain",
    "hill", "valley", "sky", "space", "night", "day", "morning", "evening", "sunset", "sunrise",
    "dawn", "dusk", "winter", "summer", "spring", "autumn", "rain", "fog", "mist", "storm",
    "wind", "light", "dark", "shadow", "glow", "glowing", "neon", "lamp", "candle", "colors",
    "color", "colour", "colours", "keyboard", "cable", "cables", "dust", "poster", "posters",
    "books", "paper", "papers", "cup", "mess", "messy", "cluttered", "clutter", "screen", "glass",
    "metal", "wooden", "plastic", "stone", "gold", "silver", "marble", "leather", "fur", "wool",
    "cotton", "silk", "standing", "sitting", "lying", "running", "walking", "flying", "jumping",
    "sleeping", "eating", "looking", "holding", "wearing", "playing", "smiling", "floating",
    "surrounded", "covered", "filled", "made", "painted", "drawn", "rendered", "displayed",
    "showing", "reading", "left", "right", "top", "bottom", "middle", "center", "corner", "side",
    "front", "back", "inside", "outside", "above", "below", "camera", "shot", "lens", "angle",
    "view", "frame", "composition", "background", "foreground", "texture", "pattern", "shape",
    "line", "lines", "art", "artist", "style", "painting", "drawing", "illustration", "design",
    "sticker", "logo", "icon", "symbol", "cartoon", "anime", "watercolor", "oil", "pencil", "ink",
    "pixel", "vector", "abstract", "surreal", "fantasy", "futuristic", "cyberpunk", "steampunk",
    "gothic", "baroque", "modern", "minimalist", "vintage", "retro", "80s", "90s", "1980s",
    "1990s", "classic", "ancient", "medieval", "old", "young", "new", "big", "small", "large",
    "tiny", "huge", "tall", "short", "long", "wide", "narrow", "thick", "thin", "heavy", "round",
    "square", "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black",
    "white", "grey", "gray", "teal", "turquoise", "cyan", "magenta", "violet", "beige", "cream",
    "golden", "crimson", "navy", "lime", "olive", "maroon", "pale", "deep", "bright", "vivid",
    "warm", "cold", "hot", "cool", "soft", "hard", "smooth", "rough", "sharp", "blurry", "clean",
    "dirty", "wet", "dry", "fresh", "rusty", "dusty", "happy", "sad", "angry", "scared", "funny",
    "serious", "calm", "peaceful", "scary", "creepy", "mysterious", "magical", "epic", "mood",
    "quality", "detail", "details", "detailed", "resolution", "realistic", "realism",
    "hyperrealistic", "cinematic", "photo", "photograph", "photography", "picture", "image",
    "portrait", "landscape", "scene", "snapshot", "selfie", "wallpaper", "text", "words", "sign",
    "letter", "label", "number", "says", "saying", "written", "please", "make", "create",
    "generate", "draw", "paint", "show", "give", "me", "want", "would", "should", "can", "you",
    "my", "your", "our", "their", "his", "her",
)  # fmt: skip
