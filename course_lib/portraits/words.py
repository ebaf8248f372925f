"""Words in groups of meaning, so that a word that no caption uses can be answered with those that mean nearly the same.

A group holds words of the captions and others that people type. A word may stand in several groups.
"""

import difflib

from . import captions2

GROUPS = tuple(group.split() for group in """
woman lady girl female gal lass madam miss ms mrs mother mom mum grandmother grandma wife sister aunt queen princess she her
man guy boy gentleman fellow chap lad male bloke dude mister mr sir father dad grandfather grandpa husband brother uncle king he
person someone human character people anyone somebody individual face adult figure they portrait
young girl boy lad child kid baby teen teenager teenage youth youthful youngster toddler student
old elderly older aged senior ancient mature grandmother grandma granny grandfather grandpa pensioner wrinkled grey
happy cheerful joyful glad merry pleased delighted smiling content joyous jolly jovial excited positive friendly cheery elated
smiling grinning beaming smile grin toothy smiley smirk smirking laughing happy
laughing delighted laugh laughs giggling chuckling amused toothy
sad unhappy gloomy upset sorrowful frowning depressed miserable crying tearful heartbroken melancholy disappointed lonely
frowning scowling frown turned-down frowny pouting sulking pout scowl unsmiling displeased
angry mad furious cross grumpy annoyed stern rage enraged irate livid outraged irritated evil mean hostile aggressive strict
worried anxious nervous concerned afraid scared frightened fearful tense uneasy stressed terrified troubled distressed
surprised shocked astonished amazed startled gasping surprise stunned wow screaming shouting singing wide-open open raised
calm serious neutral expressionless relaxed bored plain peaceful thoughtful emotionless quiet blank deadpan
sleepy tired drowsy exhausted sleeping asleep yawning weary half-closed
red scarlet crimson maroon burgundy ruby cherry vermilion
red ginger auburn copper redhead redheaded red-haired
orange peach apricot salmon tangerine coral ginger
yellow mustard golden gold gold-rimmed lemon amber
green emerald mint lime olive khaki
teal turquoise cyan aqua aquamarine
blue navy sky-blue grey-blue azure indigo cobalt
purple violet lavender lilac magenta mauve plum
pink rose fuchsia magenta salmon
white cream ivory snowy pale pearl
black jet-black dark charcoal ebony raven black-rimmed
grey gray silver slate-grey grey-haired gray-haired white-haired silvery ash
brown chestnut brunette hazel auburn chocolate
blonde blond golden yellow fair blondie platinum strawberry
cream beige ivory tan sand
bright light vivid neon pastel
hair hairstyle haircut hairdo hairstyles locks mane wig
bald hairless bald-headed shaved baldness bald-head
curly curled frizzy curls ringlets wavy kinky coiled curl permed
wavy waves wave undulating
straight sleek smooth lank
messy untidy tousled unkempt wild windswept dishevelled disheveled shaggy ruffled spiky scruffy bedhead dirty
neat tidy combed groomed brushed clean
short cropped haircut crew-cut buzzcut pixie bob crop
long flowing rapunzel waist-length
shoulder-length medium-length medium mid-length
afro curls frizzy natural
ponytail tied pigtail pigtails braid braids braided plait
bun knot topknot chignon updo
bangs fringe
parting side part parted
hat beanie cap headwear headgear helmet hood bonnet crown turban headscarf hats
beanie woolly wool bobble winter knitted toque
cap peaked baseball visor beret
brimmed wide-brimmed sun sunhat fedora cowboy straw panama sombrero top-hat
beard bearded bushy thick whiskers goatee beards
moustache mustache whiskers handlebar
stubble stubbly unshaven scruff five-o'clock shadow
clean-shaven shaved beardless shaven
glasses spectacles eyeglasses specs glass goggles eyewear lenses bespectacled spectacled monocle sunglasses shades
sunglasses shades dark sunnies aviators
round circular oval
square rectangular angular
earrings hoop hoops jewellery jewelry earring necklace piercing pierced studs
freckles freckled freckle freckly spots moles pimples
eyes eye iris eyed irises
wide wide-open wide-set big-eyed
narrowed squinting half-closed narrow winking wink blinking closed shut
eyebrows brows eyebrow brow unibrow
nose nostrils snout
mouth lips lip tongue teeth lipstick
skin brown dark complexion tanned tan skinned
fair pale light caucasian
chin jaw jawline cheekbones
cheeks cheek dimples blush blushing
small little tiny short petite
big large huge giant enormous
narrow thin slim slender skinny fine
broad wide chubby fat plump
t-shirt shirt tee top tshirt vest tank-top
shirt collared button-up blouse button-down polo suit jacket coat dress tie collar uniform hoodie
turtleneck sweater jumper pullover polo-neck roll-neck cardigan hoodie scarf
knitted knit woollen woolly wool woven crocheted
sequined sparkling glittering glittery sparkly shiny sequins glitter bling metallic
flecked speckled spotted dotted patterned tweed polka-dot striped checked
plain simple solid unicolor
wearing wears dressed wear clothed clothes outfit
background backdrop wall backgrounds scene scenery
confetti confetti-covered party celebration celebrating streamers birthday snow
speckled spotted dotted flecked noisy grainy
left leftwards sideways
right rightwards sideways
facing turned glancing looking gazing staring profile
tilted leaning tilt slanted
raised lifted up upwards
lowered bowed down downwards low
picture image portrait drawing illustration painting cartoon avatar photo photograph sketch icon headshot selfie
light lit lighting bright sunlight
open gaping agape ajar
""".strip().splitlines())


def neighbours(words, known=None) -> dict[str, list[str]]:
    """For each of some words, those of `known` that are nearest in meaning: of its groups, in their order, six at most.

    Endings do not count ("smiles"), and a word in no group is taken for the one that is spelt most like it ("smilling"). A word
    of which nothing is known has none. known: a vocabulary; None: that of version 2's captions.
    """
    known = set(captions2.words() if known is None else known)
    spelt = sorted(known.union(*GROUPS))
    found = {}
    for word in words:
        near = [one for one in _forms(word.lower()) if one in spelt][:1] or difflib.get_close_matches(word.lower(), spelt, 1, 0.8)
        members = [one for group in GROUPS if near and near[0] in group for one in group if one in known]
        found[word] = list(dict.fromkeys([one for one in near if one in known] + members))[:6]
    return found


def _forms(word):
    """The word, without each ending that it has, and with another in its place."""
    stems = [word.removesuffix(ending) for ending in ("'s", "s", "es", "ed", "d", "ing", "ly", "er", "y") if word.endswith(ending)]
    return [word, *(stem + ending for stem in stems for ending in ("", "e", "ing", "y", "ed") if len(stem) > 2)]
