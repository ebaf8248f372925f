"""Words that a CLIP model of few words does not know, and those among its own that mean something near."""
import difflib

from ..clip import words_of

# Words of the course's CLIP, and what people write instead.
MEANINGS = {
    "smiling": "smile smiles smiley grin grinning laughing laugh laughs cheerful joyful glad friendly amused",
    "happy": "smile grin laughing laugh cheerful joyful joy glad friendly pleased delighted",
    "unhappy": "sad sadness crying depressed gloomy miserable upset tearful melancholic melancholy disappointed",
    "frowning": "sad frown frowns grumpy sulking sullen scowling moody cross displeased",
    "angry": "furious mad rage anger annoyed enraged grim cross evil", "stern": "serious severe strict grim stony earnest",
    "worried": "afraid scared anxious nervous fearful concerned troubled",
    "glasses": "eyeglasses specs sunglasses goggles shades monocle", "spectacles": "eyeglasses specs sunglasses goggles",
    "blonde": "blond fair-haired golden gold platinum", "red": "ginger auburn copper crimson scarlet redhead orange",
    "brown": "brunette chestnut hazel tan", "black": "raven ebony jet-black", "grey": "gray silver ash old elderly aged senior",
    "white": "snowy silver old elderly", "dark": "tanned ebony", "pale": "light fair-skinned white-skinned",
    "purple": "violet magenta lilac", "lavender": "violet lilac", "blue": "azure cobalt indigo", "teal": "turquoise cyan",
    "sky-blue": "azure cyan turquoise", "navy": "indigo", "mint": "lime", "green": "lime emerald olive",
    "mustard": "yellow ochre gold", "cream": "beige ivory yellow", "rose": "magenta coral", "peach": "orange coral apricot",
    "pink": "magenta", "curly": "curls curled frizzy ringlets kinky permed", "wavy": "waves waved",
    "straight": "sleek smooth flat", "afro": "frizzy kinky", "bun": "chignon topknot knot",
    "ponytail": "pigtail braid plait braided", "bangs": "forelock", "fringe": "forelock",
    "bald": "hairless shaved shaven baldheaded skinhead", "long": "longer flowing",
    "short": "shorter cropped buzzcut crew-cut trimmed", "beard": "whiskers goatee beards", "bearded": "unshaven",
    "moustache": "mustache whiskers moustached", "stubble": "unshaven",
    "hat": "fedora sombrero bonnet helmet hats headgear bowler", "cap": "baseball headgear", "beanie": "toque woolen",
    "woman": "girl female women feminine wife mother she her queen", "lady": "girl female",
    "man": "boy male men masculine father he his king", "guy": "boy male dude bloke fellow",
    "person": "people human child kid teenager adult somebody someone individual young", "eyes": "eye gaze",
    "half-closed": "sleepy tired squinting drowsy", "wide-open": "surprised astonished shocked amazed startled",
    "open": "surprised shouting screaming yawning singing", "raised": "surprised sceptical skeptical",
    "eyebrows": "brow brows eyebrow", "mouth": "lips lip teeth", "chin": "jawline", "jaw": "jawline", "nose": "nostrils",
    "big": "huge giant wide enormous", "large": "huge giant enormous", "small": "tiny little", "thick": "fat dense",
    "thin": "slim fine", "narrow": "slim slender oval", "broad": "wide fat chubby", "round": "oval circular chubby",
    "freckled": "spotted", "freckles": "spots", "earrings": "jewelry jewellery earring piercing studs", "hoop": "ring rings",
    "sweater": "jumper pullover cardigan hoodie", "turtleneck": "jumper pullover scarf", "t-shirt": "tshirt top",
    "shirt": "blouse top suit tie dress collar", "wearing": "dressed wears", "turned": "tilted rotated",
    "left": "leftward sideways", "right": "rightward sideways", "front": "frontal forward", "looking": "staring gazing",
    "glancing": "staring gazing", "portrait": "photo photograph photography selfie headshot image",
    "picture": "photo photograph image", "painting": "artwork oil watercolor", "drawing": "sketch cartoon",
    "with": "has having plus", "a": "one my this"}


def check_words(clip, texts):
    """Raise ValueError with all words of texts that a small CLIP model has never seen, and for each those of its own that mean
    something near, or failing that look alike. Models of open_clip read any word."""
    words = getattr(clip.tokenize, "keywords", {}).get("words")
    unknown = list(dict.fromkeys(word for text in texts for word in words_of(text) if word not in words)) if words else []
    if unknown:
        near = {word: neighbours(word, words) for word in unknown}
        named = "; ".join(f'"{word}"' + (f" ({' or '.join(others)})" if others else "") for word, others in near.items())
        known = " ".join(sorted(words))
        raise ValueError(f"{clip.name} has never seen {named}. It knows {len(words)} words: {known}. Say it with these, or "
                         'name a model that reads any word, such as --clip "ViT-B-32/openai"')


def neighbours(word, words):
    """The words among `words` that mean something near to `word`, or else look like it; [] if there are none."""
    forms = {word, word.removesuffix("s"), word.removesuffix("'s")}
    near = [known for known, others in MEANINGS.items() if known in words and (forms & set(others.split()) or known in forms)]
    return near or difflib.get_close_matches(word, words, 2, cutoff=0.75)
