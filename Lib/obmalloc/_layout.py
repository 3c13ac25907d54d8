"""Where Python's objects keep pointers to what is theirs.

No version documents it, and each does it in its own way.  So it is found and verified in
the process itself: objects are made of which the contents are known, and a pointer
counts only if it leads into a live block of the heap that holds just these contents.
What is not found so is not known, and is shown as unknown rather than guessed.
"""

import struct
import types

from obmalloc.loading import _obmalloc

_WORD = struct.calcsize('P')

# Offsets in bytes; 0: not known.  Modules/_obmalloc_objects.c tells what each means.
_UNKNOWN = dict.fromkeys((
    'list_items', 'dict_keys', 'dict_values', 'set_table', 'bytearray_bytes', 'str_state',
    'str_ascii', 'str_compact', 'str_utf8', 'str_data', 'type_traverse', 'type_dictoffset',
    'type_keys', 'instance_values', 'instance_values_tag', 'instance_dict'), 0)

_MADE = 300         # objects of a kind at most until one lies in the heap: see _made()

_known = None       # what find() has found; None: nothing yet


class _Plain:
    pass


class _Text(str):
    pass


def _made(make):
    """An object that lies in the heap.  Those that the free lists of its type give
    first may be older than the heap.  None: none does."""
    kept = []
    for _ in range(_MADE):
        kept.append(make())
        if _obmalloc.block(id(kept[-1])) is not None:
            return kept[-1]
    return None


def _word(thing, number):
    """A pointer in an object; 0: it may not be read."""
    words = _obmalloc.words(thing, number, 1)
    return words[0] if words else 0


def _block(address):
    """The bytes of the live block that address lies in, from there on."""
    found = _obmalloc.block(address) if address else None
    return found[1][address - found[0]:] if found else b''


def _holds(address, things):
    """Whether the block at address holds pointers to all these objects, in this order."""
    found = _obmalloc.block(address) if address else None
    if not found:
        return False
    content = found[1]
    words = iter(struct.unpack(f'={len(content) // _WORD}{"Q" if _WORD == 8 else "I"}', content))
    return all(id(thing) in words for thing in things)


def _things(count=5):
    return [object() for _ in range(count)]


def _names(count=5):
    """Strings that no other code uses, and that are valid as names of attributes."""
    return [f'attribute_{number}_{id(_names)}' for number in range(count)]


# Each of these returns a part of the layout -------------------------------------------

def _lists():
    things = _things()
    made = _made(lambda: [*things])
    return {'list_items': 3 * _WORD} if made and _holds(_word(made, 3), things) else {}


def _dicts():
    names, things = _names(), _things()
    made = _made(lambda: dict(zip(names, things)))
    number = 3 + 8 // _WORD         # after a field of 64 bits in all versions
    if not made or not _holds(_word(made, number), [item for pair in made.items() for item in pair]):
        return {}
    return {'dict_keys': number * _WORD}


def _values(keys):
    """Of a dict that shares its keys with others.  keys: offset of the keys."""
    names, things = _names(), _things()
    instance = _made(_Plain)
    if not keys or instance is None:
        return {}
    for name, thing in zip(names, things):
        setattr(instance, name, thing)
    shared, number = vars(instance), keys // _WORD + 1
    values = _word(shared, number)
    if not _holds(values, things) or _holds(values, names):
        return {}
    return {'dict_values': number * _WORD}


def _sets():
    things = _things(6)             # more than fit into the object
    made = _made(lambda: {*things})
    found = _obmalloc.block(_word(made, 5)) if made else None
    inside = found is not None and found[0] <= id(made) < found[0] + len(found[1])
    if not found or inside or not all(_holds(_word(made, 5), [thing]) for thing in things):
        return {}
    return {'set_table': 5 * _WORD}


def _bytearrays():
    content = b'of a bytearray, and of nobody else'
    made = _made(lambda: bytearray(content))
    return {'bytearray_bytes': 4 * _WORD} if made and _block(_word(made, 4)).startswith(content) else {}


def _bit(left, right):
    """The one bit that left has and right has not; 0: they differ otherwise."""
    different = left ^ right
    return different if different & (different - 1) == 0 and different & left else 0


def _strings():
    def state(text):
        return struct.pack('P', _word(text, 4))[0]      # the rest of the word may be anything
    ascii_text, latin_text = ('e' * _MADE)[:30], ('\xe9' * _MADE)[:30]
    ascii_bit = _bit(state(ascii_text), state(latin_text))
    compact_bit = _bit(state(ascii_text), state(_Text(ascii_text)))
    if not ascii_bit or not compact_bit or ascii_bit == compact_bit:
        return {}
    found = {'str_state': 4 * _WORD, 'str_ascii': ascii_bit, 'str_compact': compact_bit}
    encoded = latin_text.encode()
    type(latin_text, (), {})        # which makes the string keep its UTF-8
    for number in 6, 7:
        is_its_size = _word(latin_text, number - 1) == len(encoded)
        if is_its_size and _block(_word(latin_text, number)).startswith(encoded):
            found['str_utf8'] = number * _WORD
    text = _Text(latin_text)
    for number in 7, 9:
        if _block(_word(text, number)).startswith(latin_text.encode('latin-1')):
            found['str_data'] = number * _WORD
    return found


def _types(layout):
    """Of classes.  layout: what is known so far."""
    found = {}
    samples = _Plain, _Text, list, dict, types.FunctionType, types.ModuleType, BaseException
    if all(_word(cls, 36) == cls.__dictoffset__ % (1 << 8 * _WORD) for cls in samples):
        found['type_dictoffset'] = 36 * _WORD
    if _word(_Plain, 23) == _obmalloc.traverse(_Plain) != 0:
        found['type_traverse'] = 23 * _WORD
    name, long_name = 'Name%d' % _WORD, 'Name%d.long' % _WORD
    cls = type(name, (), {'__qualname__': long_name})
    words = _obmalloc.words(cls, 0, type.__basicsize__ // _WORD) or ()
    places = [number for number in range(len(words) - 3)
              if words[number] == id(name) and words[number + 2] == id(long_name)]
    instance = cls()
    instance.first = instance.second = None
    if len(places) == 1 and layout.get('dict_keys'):
        keys = _word(vars(instance), layout['dict_keys'] // _WORD)
        if keys and words and _word(cls, places[0] + 3) == keys:
            found['type_keys'] = (places[0] + 3) * _WORD
    return found


def _instances():
    names, things = _names(3), _things(3)

    class Fresh:
        pass

    def make():
        made = Fresh()
        for name, thing in zip(names, things):
            setattr(made, name, thing)
        return made
    made, found = _made(make), {}
    if made is None:
        return found
    for number, tag in (-4, 0), (-3, 1):
        values = _word(made, number)
        block = _obmalloc.block(values)
        inside = block is not None and block[0] <= id(made) < block[0] + len(block[1])
        if values % 2 == tag and _holds(values, things) and not inside:
            found.update(instance_values=number * _WORD, instance_values_tag=tag)
    attributes = vars(made)
    if _word(made, -3) == id(attributes):
        found['instance_dict'] = -3 * _WORD
    return found


_CODE = '''
class Outer:
    def method(self, first, second=2.5):
        cell = first
        def inner():
            return cell, second
        try:
            return inner, 'constant', self.attribute
        except ValueError:
            return None
'''

# Of all versions; what a version makes anew when it is asked is not found in the object.
_CODE_FIELDS = ('co_consts', 'co_names', 'co_filename', 'co_name', 'co_qualname', 'co_exceptiontable',
                'co_linetable' if hasattr(types.CodeType, 'co_linetable') else 'co_lnotab',
                'co_code', 'co_varnames', 'co_freevars', 'co_cellvars')


def _code():
    module = compile(_CODE, f'<file {id(_CODE)}>', 'exec')
    outer, = [item for item in module.co_consts if isinstance(item, types.CodeType)]
    method, = [item for item in outer.co_consts if isinstance(item, types.CodeType)]
    words = _obmalloc.words(method, 0, types.CodeType.__basicsize__ // _WORD) or ()
    fields = {name: words.index(id(value)) for name in _CODE_FIELDS
              for value in [getattr(method, name, None)]
              if value is not None and words.count(id(value)) == 1}
    numbers = {*fields.values()}
    # Since 3.11 the names and the kinds of all variables stand before the file's name.
    if 'co_filename' in fields and 'co_varnames' not in fields:
        before = fields['co_filename'] - 2
        if _holds(words[before], method.co_varnames):
            numbers.add(before)
        kinds = _obmalloc.block(words[before + 1])
        if kinds and _holds(words[before + 1], [bytes]):
            numbers.add(before + 1)
    return {'code_fields': tuple(sorted(number * _WORD for number in numbers))}


def find():
    """The layout of this process's objects, as _obmalloc.owned() takes it: a dict.

    It is looked for once, and again as long as the heap is not in force.
    """
    global _known
    if _known is None:
        layout = {**_UNKNOWN, 'code_fields': (), 'code_type': types.CodeType}
        layout.update(_lists())
        layout.update(_dicts())
        layout.update(_values(layout['dict_keys']))
        for part in _sets(), _bytearrays(), _strings(), _types(layout), _instances(), _code():
            layout.update(part)
        if not _obmalloc.active():
            return layout
        _known = layout
    return _known
