"""The preset dictionary of zstd: text that stored bytes are likely to hold. Part of the format: it may never change.

Likelier text stands further back, where zstd refers to it with fewer bits. A new dictionary gets a mark of its own.
"""

_COMMON = (
    b"checkpoint_idscheduler__start____end__branch:to:stepsourceloopinputparentstask"
    b'Custom("")\x12\x1b\n\n\n\x05extra\x10\x01\n\r\n\x08messages\x10\x01'
    b"R\x0c\x08\xf4\xe5\xcf\xaa\x06\x10Z\x07\x12\x05j\x08messagesj\x05extraj\x06errors"
    b"\x12;\x12\x03\x08\x01\x1a\x03\x08\x01*\x1a\x08\x01\x18\x01 *\x10*\x13\x08\x03\x12\n2\x03"
)

_TOOLS_AND_MODELS = (
    b'\xa9Interrupt\xa5value\xb0langgraph.types\xa4Send\xa7Command{"role":"user","content":"assistantsystem'
    b"\xbdlangchain_core.messages.system\xadSystemMessage\xa6system\xbflangchain_core.messages.function"
    b"\xadfinish_reason\xa4stop\xaamodel_name\xb2system_fingerprint\xacservice_tier\xa8logprobs\xc0\xaemodel_provider"
    b"\xabtoken_usage\xb1completion_tokens\xadprompt_tokens\xb5prompt_tokens_details\xb9completion_tokens_details"
    b"\xb0reasoning_tokens\xacaudio_tokens\xadcached_tokens\xb3input_token_details\xb4output_token_details"
    b"\xa9reasoning\xaacache_read\xaecache_creation\xacinput_tokens\xadoutput_tokens\xactotal_tokens"
    b"\xa4text\xa8tool_use\xabstop_reason\xa8function\xa9arguments\xa4args\xa2id\xa9tool_call"
    b"\xbblangchain_core.messages.tool\xabToolMessage\xa4tool\xactool_call_id\xa8artifact\xa6status\xa7success"
)
_NAMES = (
    b"__error____interrupt____resume____scheduled____pregel_tasks__no_writes__~__pregel_push, "
    b'langgraph_noderun_iduser_idassistant_idgraph_idthread_idcheckpoint_ns\x06"fork"\x08"update"'
    b"agenttoolsmodelcallstructured_response\x12\x04json\x12\x05bytes"
)
_RECORD = (
    b'r\x10\n\x06source\x12\x07"input"r\x10\n\x06source\x12\x06"loop"z\xd7\x01\n\x07msgpack\x12\xcb\x01'
    b"\x82\xaacheckpoint\x84\xa1v\x04\xb0channel_versions\x83\xa9__start__\xcd\x01\xa8messages\xcd\x01"
    b"\xb0branch:to:\xcd\x01\xadversions_seen\x83\xa9__input__\x80\xa9__start__\x81\xa9__start__\xcd\x01"
    b"\x81\xb0branch:to:\xb0updated_channels\x91\xa9__start__\x92\xb0branch:to:\xb0updated_channels\x91\xa8messages"
    b"\xa8metadata\x82\xa4step\xcd\x01\xa7parents\x80"
    b"*\x19\x08\x05\x12\t__start__\x18*\x23\x08\x05\x12\x10branch:to:2\x06\n\x04null:\x05\n\x03"
    b"*\x19\x08\x06\x12\x08messages\x18\x02 "
)
_MESSAGES = (
    b"\n\x07msgpack\x12\x81\xa8messages\x91\xc8\x02\x05\x94\xbdlangchain_core.messages.human\xacHumanMessage"
    b"\x86\xa7content\xda\x02\xb1additional_kwargs\x80\xb1response_metadata\x80\xa4type\xa5human"
    b"\xa4name\xc0\xa2id\xd9$-4\xb3model_validate_json"
    b"\n\x07msgpack\x12\x91\xc8\x02\x05\x94\xbalangchain_core.messages.ai\xa9AIMessage"
    b"\x89\xa7content\xda\x02\xb1additional_kwargs\x80\xb1response_metadata\x80\xa4type\xa2ai"
    b"\xa4name\xc0\xa2id\xd9$\xaatool_calls\x90\xb2invalid_tool_calls\x90\xaeusage_metadata\xc0\xb3model_validate_json"
)
DICTIONARY = _COMMON + _TOOLS_AND_MODELS + _NAMES + _RECORD + _MESSAGES
"""Names of nodes and channels, and the fixed text of LangGraph's checkpoints, pending writes and messages."""
