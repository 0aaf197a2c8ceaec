; msrs: MTRR, PAT, TSC and the other model-specific registers; SDM volume 3, 11.11, 11.12, 17.17
%include "rt.inc"

section .bss
	alignb 8
cap:	resd 1

section .text
bits 32
%macro RW 4	; msr, low, high, text: written and read back
	mov ecx, %1
	rdmsr
	push eax
	push edx
	mov eax, %2
	mov edx, %3
	RT_ARM %%w
	wrmsr
%%w:	WAS %4, -1, -1, -1
	xor eax, eax
	xor edx, edx
	rdmsr
	EQ eax, %2, %4
	EQ edx, %3, %4
	pop edx
	pop eax
	wrmsr
%endmacro
%macro BADW 4
	mov ecx, %1
	mov eax, %2
	mov edx, %3
	FAULTS %4, VEC_GP, 0, wrmsr
%endmacro
main:
	; what does not exist
	mov ecx, 0x4b564dff
	FAULTS "rdmsr of what does not exist", VEC_GP, 0, rdmsr
	FAULTS "wrmsr of what does not exist", VEC_GP, 0, wrmsr
	; MTRRs
	mov ecx, 0xfe
	rdmsr
	mov [cap], eax
	FAULTS "MTRRcap is read-only", VEC_GP, 0, wrmsr
	mov ecx, 0x2ff
	rdmsr
	and eax, ~0xcff
	EQ eax, 0, "reserved bits of MTRRdefType"
	RW 0x2ff, 0xc06, 0, "MTRRdefType"
	BADW 0x2ff, 0xc02, 0, "MTRRdefType: type 2"
	BADW 0x2ff, 0x1006, 0, "MTRRdefType: reserved bit"
	RW 0x250, 0x06060606, 0x06060606, "fixed 64 KiB range"
	RW 0x258, 0x05050505, 0x04040404, "fixed 16 KiB range"
	RW 0x26f, 0x01010101, 0, "fixed 4 KiB range"
	BADW 0x250, 0x02060606, 0, "fixed range: type 2"
	BADW 0x268, 0, 0x07000000, "fixed range: type 7"
	movzx eax, byte [cap]
	cmp eax, 1
	jb .no_var
	RW 0x200, 0x80000006, 0, "variable range, base"
	RW 0x201, 0x80000800, 0xf, "variable range, mask"
	BADW 0x200, 0x80000002, 0, "variable range: type 2"
	BADW 0x200, 0x80000106, 0, "variable range: reserved bit of the base"
	BADW 0x201, 0x80000400, 0, "variable range: reserved bit of the mask"
	BADW 0x200, 6, 0x80000000, "variable range: address too wide"
.no_var:
	; PAT
	mov ecx, 0x277
	rdmsr
	EQ eax, 0x00070406, "PAT at reset, low"
	EQ edx, 0x00070406, "PAT at reset, high"
	RW 0x277, 0x00070106, 0x00070106, "PAT"
	BADW 0x277, 0x00070206, 0, "PAT: type 2"
	BADW 0x277, 0x00070306, 0, "PAT: type 3"
	BADW 0x277, 0, 0x08000000, "PAT: type 8"
	; the TSC runs and can be set
	rdtsc
	mov esi, eax
	mov edi, edx
	rdtsc
	sub eax, esi
	sbb edx, edi
	setns al
	movzx eax, al
	EQ eax, 1, "the TSC does not run backwards"
	mov ecx, 0x10
	xor eax, eax
	xor edx, edx
	wrmsr
	rdtsc
	EQ edx, 0, "the TSC can be set"
	mov eax, 7
	xor ecx, ecx
	cpuid
	test ebx, 2
	jz .no_adjust
	mov ecx, 0x3b
	rdmsr
	mov esi, eax
	mov edi, edx
	rdtsc
	mov ebx, eax
	mov ecx, 0x3b
	mov eax, esi
	mov edx, edi
	add edx, 0x100
	wrmsr
	rdtsc
	cmp edx, 0x100
	setae al
	movzx eax, al
	EQ eax, 1, "TSC_ADJUST moves the TSC"
	mov ecx, 0x3b
	rdmsr
	sub edx, edi
	EQ edx, 0x100, "TSC_ADJUST reads back"
.no_adjust:
	mov eax, 0x80000001
	cpuid
	bt edx, 27
	jnc .no_rdtscp
	mov ecx, 0xc0000103
	mov eax, 0x1234
	xor edx, edx
	wrmsr
	rdtscp
	EQ ecx, 0x1234, "rdtscp: TSC_AUX"
.no_rdtscp:
	mov eax, cr4
	or eax, 4
	mov cr4, eax
	RUNS "rdtsc at CPL 0 with TSD", rdtsc
	USER u_rdtsc
	WAS "rdtsc at CPL 3 with TSD", VEC_GP, 0, u_rdtsc
	mov eax, cr4
	and eax, ~4
	mov cr4, eax
	USER u_rdtsc
	WAS "rdtsc at CPL 3", VEC_DONE, 0, u_rdtsc_end
	mov ecx, 0x8b
	RUNS "BIOS_SIGN_ID", rdmsr
	mov ecx, 0x179
	RUNS "MCG_CAP", rdmsr
	mov ecx, 0x17a
	RUNS "MCG_STATUS", rdmsr
	USER u_cpuid
	WAS "cpuid at CPL 3", VEC_DONE, 0, u_cpuid_end
	mov eax, go
	call rt_enter64
bits 64
go:
	; bases: canonical or nothing
	mov ecx, 0xc0000100
	mov eax, 0x89abcdef
	mov edx, 0x00001234
	wrmsr
	rdmsr
	EQ rdx, 0x1234, "FS base, high"
	mov edx, 0x8000
	FAULTS "FS base takes no non-canonical address", VEC_GP, 0, wrmsr
	mov ecx, 0xc0000101
	FAULTS "GS base takes no non-canonical address", VEC_GP, 0, wrmsr
	mov ecx, 0xc0000102
	FAULTS "kernel GS base takes no non-canonical address", VEC_GP, 0, wrmsr
	; swapgs
	mov ecx, 0xc0000101
	mov eax, 0x1000
	xor edx, edx
	wrmsr
	mov ecx, 0xc0000102
	mov eax, 0x2000
	wrmsr
	swapgs
	rdmsr
	EQ rax, 0x1000, "swapgs: kernel GS base"
	mov ecx, 0xc0000101
	rdmsr
	EQ rax, 0x2000, "swapgs: GS base"
	mov dword [0x2010], 0x5a5a
	mov eax, [gs:0x10]
	EQ rax, 0x5a5a, "GS base in an address"
	; a load of a selector takes the descriptor's base, a null one may keep or clear it
	mov eax, SEL_DATA64
	mov gs, eax
	mov ecx, 0xc0000101
	rdmsr
	EQ rax, 0, "a load of GS loads its base"
	USER .u_swapgs
	WAS "swapgs at CPL 3", VEC_GP, 0, .u_swapgs
	; FSGSBASE
	mov eax, 7
	xor ecx, ecx
	cpuid
	test ebx, 1
	jz .end
	mov rax, cr4
	btr rax, 16
	mov cr4, rax
	FAULTS "wrfsbase without CR4.FSGSBASE", VEC_UD, 0, wrfsbase rax
	bts rax, 16
	mov cr4, rax
	mov rbx, 0x123456789abc
	wrfsbase rbx
	rdfsbase rcx
	EQ rcx, rbx, "wrfsbase, rdfsbase"
	mov rbx, 0x0000800000000000
	FAULTS "wrgsbase takes no non-canonical address", VEC_GP, 0, wrgsbase rbx
.end:
	FINISH
.u_swapgs: swapgs
bits 32
u_rdtsc: rdtsc
	DONE
u_rdtsc_end:
u_cpuid: cpuid
	DONE
u_cpuid_end:
